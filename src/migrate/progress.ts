import { setTimeout as delay } from "node:timers/promises";
import type { ClientBase } from "pg";
import { withConnection } from "./connect.ts";

export interface ProgressOptions {
  url: string;
  client: ClientBase;
  /** Gets one line for the operator. Without it nothing is watched. */
  say: ((line: string) => void) | undefined;
  everyMs?: number;
}

/**
 * Runs work on a client, and says every few seconds what its session does: for whose lock it waits, or how far it is with an index. It
 * asks over a connection of its own, which it opens only if the work takes that long.
 */
export async function withProgress<T>(
  options: ProgressOptions,
  work: () => Promise<T>,
): Promise<T> {
  if (!options.say) return work();
  const { rows } = await options.client.query<{ pid: number }>("select pg_backend_pid() as pid");
  const ended = new AbortController();
  // Without a second connection the work goes on, and nothing is said.
  const watching = watch(options, rows[0]?.pid, ended.signal).catch(() => {});
  try {
    return await work();
  } finally {
    ended.abort();
    await watching;
  }
}

async function watch(
  { url, say, everyMs = 3000 }: ProgressOptions,
  pid: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  const wait = () => delay(everyMs, undefined, { signal });
  await wait();
  await withConnection(
    url,
    async (client) => {
      await client.query("set statement_timeout = '5s'");
      for (;;) {
        const { rows } = await client.query<Seen>(LOOK, [pid]);
        const seconds = Math.round((performance.now() - startedAt) / 1000);
        if (rows[0] && !signal.aborted) say?.(`${seconds} s: ${describe(rows[0])}`);
        await wait();
      }
    },
    { name: "bellwire progress" },
  );
}

type Seen = {
  holders: string[];
  table: string | null;
  phase: string | null;
  percent: number | null;
};

function describe({ holders, table, phase, percent }: Seen): string {
  if (holders.length > 0) return `waiting for a lock of ${holders.join(" and ")}`;
  if (table === null) return "working";
  return `an index on ${table}, ${phase}${percent === null ? "" : `, ${percent} %`}`;
}

/** The progress view counts blocks in some phases, rows in the others. */
const LOOK = `
select array(
         select format('session %s (%s)', h.pid, concat_ws(', ', nullif(h.application_name, ''), 'user ' || h.usename,
                       'in a transaction for ' || extract(epoch from now() - h.xact_start)::integer || ' s'))
           from pg_stat_activity h
          where h.pid = any (pg_blocking_pids($1))
       )                     as holders,
       p.relid::regclass     as "table",
       p.phase,
       floor(100.0 * case when p.tuples_total > 0 then p.tuples_done::numeric / p.tuples_total
                          when p.blocks_total > 0 then p.blocks_done::numeric / p.blocks_total end)::integer as percent
  from (values ($1::integer)) as watched (pid)
  left join pg_stat_progress_create_index p using (pid)`;
