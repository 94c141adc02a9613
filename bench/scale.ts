import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { openOneStream } from "./clients/one-stream.ts";
import { openStreams } from "./clients/streams.ts";
import { bellwireStreams } from "./clients/wanted.ts";
import { inTurn, ROUNDS } from "./compare.ts";
import { cleanUp, query } from "./contenders.ts";
import { cpuMs } from "./cpu.ts";
import { now, seedUsers } from "./crowd.ts";
import { findPgbench, NO_PGBENCH, runPgbench } from "./pgbench.ts";
import { quantile } from "./quantile.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, mintToken, startDatabase, startInstance } from "./service.ts";

/** A factor for the size of each step; smaller during work on the scenario. */
const PART = Number(process.env.BENCH_SCALE ?? 1);

const [STREAMS, INSTANCES, SPLIT] = [[1000, 5000, 10_000], [1, 2, 4], 2000];
const [RATE, SECONDS, IDLE_MS] = [1000, 6, 10_000];

/** The disk space for ten million rows, with indexes and WAL. */
const BYTES_OF_MOST = 12e9;
const [PER_RECIPIENT, FILL_AT_ONCE] = [100, 500_000];
const [LONE_INSERTS, RECONNECTS] = [200, 50];

/** The cost of a row and of a stream, as the number of rows, streams, instances and existing rows grows. */
export async function scale(): Promise<Result> {
  const database = await startDatabase();
  const figures: Result["figures"] = {};
  const notes: string[] = [];
  const pgbench = await findPgbench();
  if (pgbench)
    for (let round = 0; round < ROUNDS; round++) {
      for (const streams of inTurn(STREAMS, round)) {
        const found = await deliver(database, pgbench, { streams: streams * PART, instances: 1 });
        addRound(figures, `${streams * PART} streams`, found);
      }
      for (const instances of inTurn(INSTANCES, round)) {
        const { [IDLE]: _, ...found } = await deliver(database, pgbench, {
          streams: SPLIT * PART,
          instances,
        });
        addRound(figures, `${SPLIT * PART} streams, ${instances} instances`, found);
      }
    }
  else notes.push(NO_PGBENCH);
  await query(database.url, "truncate public.messages, bellwire.notifications");
  for (const rows of [10_000, 1_000_000, await most()]) {
    await fillUp(database, rows * PART);
    for (let round = 0; round < ROUNDS; round++)
      addRound(figures, `${rows * PART} rows`, await amongRows(database));
  }
  await database.close();
  return {
    scenario: "scale",
    what: `By streams and instances: the service's CPU at ${RATE} single-row inserts per second over ${SECONDS} s, each for one of the open streams at random, and without inserts over ${IDLE_MS / 1000} s. By rows in the table, ${PER_RECIPIENT} for each recipient: the latency of single inserts and of a stream that reconnects. ${ROUNDS} rounds.`,
    figures,
    goals: [],
    notes: [...notes, ...ratios(figures)],
    place: database.place,
  };
}

const [PER_ROW, IDLE] = ["CPU a row, µs", "CPU an idle stream, µs/s"];

async function deliver(
  { url }: Database,
  pgbench: string,
  { streams: count, instances }: { streams: number; instances: number },
): Promise<Record<string, number>> {
  await query(url, seedUsers(count));
  await cleanUp(url);
  const wanted = await bellwireStreams(count);
  const env = { MAX_NEW_STREAMS_PER_SECOND: "0" };
  const running = await Promise.all(
    Array.from({ length: instances }, async (_, i) => {
      const instance = await startInstance(url, env);
      const own = wanted.filter((_, n) => n % instances === i);
      return { instance, streams: await openStreams(instance.address, own) };
    }),
  );
  const cpu = async () => {
    const times = running.map(({ instance }) => cpuMs(instance.pid));
    return (await Promise.all(times)).reduce((sum, ms) => sum + ms, 0);
  };
  const write = (seconds: number) =>
    runPgbench({
      pgbench,
      url,
      script: messageToOneOf(count),
      clients: 8,
      until: { seconds },
      rate: RATE,
    });
  const finish = async (expected: number) => {
    // The number of this instance's own is unknown, so each waits until nothing more comes.
    const alone = running.length === 1 ? expected : Number.POSITIVE_INFINITY;
    const reports = await Promise.all(running.map(({ streams }) => streams.finish(alone)));
    return reports.reduce((sum, { frames }) => sum + frames, 0);
  };

  const warmUp = await write(2);
  await finish(warmUp.transactions);
  await delay(2000);
  const idleFrom = await cpu();
  await delay(IDLE_MS);
  const idleMs = (await cpu()) - idleFrom;
  for (const { streams } of running) await streams.start(Number.MAX_SAFE_INTEGER);
  const from = await cpu();
  const run = await write(SECONDS);
  // The last have come by then. Waiting for certainty would take longer.
  await delay(500);
  const ms = (await cpu()) - from;
  const frames = await finish(run.transactions);
  for (const { instance, streams } of running) {
    await streams.close();
    await instance.close();
  }
  return {
    "inserts/s": run.perSecond,
    [PER_ROW]: (ms * 1000) / frames / instances,
    [IDLE]: (idleMs * 1000) / (IDLE_MS / 1000) / count,
    "idle in all, CPU ms/s": idleMs / (IDLE_MS / 1000),
    lost: run.transactions - frames,
  };
}

const messageToOneOf = (users: number) => `
\\set n :n + 1
\\set recipient random(1, ${users})
\\set sender 1 + (:recipient + random(0, ${users - 2})) % ${users}
insert into public.messages (sender_id, recipient_id, body) values (:sender, :recipient, 'Message ' || :client_id::text || '/' || :n::text || ' of a few words, as they are');
`;

async function most(): Promise<number> {
  const { bavail, bsize } = await statfs(tmpdir());
  return bavail * bsize >= BYTES_OF_MOST ? 10_000_000 : 5_000_000;
}

const fill = (from: number, to: number) => `
  insert into bellwire.notifications
         (recipient_id, type, title, body, link, data, created_xid, changed_xid)
  select (1 + n / ${PER_RECIPIENT})::text,
         'test',
         'A title of a few words',
         'A body of some more: who did what, and where',
         '/tasks/' || n,
         jsonb_build_object('task', n),
         -- of many transactions, as rows are
         (3 + n % 500)::text::xid8,
         (3 + n % 500)::text::xid8
    from generate_series(${from}, ${to - 1}) n`;

async function fillUp({ url }: Database, rows: number): Promise<void> {
  const writer = new pg.Client(url);
  await writer.connect();
  const { count } = (
    await writer.query("select count(*)::int as count from bellwire.notifications")
  ).rows[0];
  for (let from = count; from < rows; from += FILL_AT_ONCE)
    await writer.query(fill(from, Math.min(rows, from + FILL_AT_ONCE)));
  await writer.query("vacuum (analyze) bellwire.notifications");
  await writer.query("checkpoint");
  await writer.end();
}

async function amongRows({ url }: Database): Promise<Record<string, number>> {
  const writer = new pg.Client(url);
  await writer.connect();
  const service = await startInstance(url, { MAX_NEW_STREAMS_PER_SECOND: "0" });
  const authorization = `Bearer ${await mintToken("2")}`;
  const path = "/api/notifications/stream";
  const ready = "event: ready";

  let heard = () => {};
  const stream = await openOneStream(
    service.address,
    { path, headers: { authorization }, ready },
    () => heard(),
  );
  const lags: number[] = [];
  for (let i = 0; i < LONE_INSERTS; i++) {
    const next = new Promise<number>((resolve) => {
      heard = () => resolve(now());
    });
    await writer.query(
      "insert into messages (sender_id, recipient_id, body) values (1, 2, 'Message 0/0 of a few words')",
    );
    const committedAt = now();
    lags.push((await next) - committedAt);
    await delay(20 * (0.5 + Math.random()));
  }
  stream.close();

  const answer = await fetch(`${service.address}/api/notifications`, {
    headers: { authorization },
  });
  const { cursor } = (await answer.json()) as { cursor: string };
  const times: number[] = [];
  for (let i = 0; i < RECONNECTS; i++) {
    const headers = { authorization, "last-event-id": cursor };
    const start = now();
    const again = await openOneStream(service.address, { path, headers, ready }, () => {});
    times.push(now() - start);
    again.close();
    await delay(20);
  }
  await service.close();
  await writer.query(
    "delete from bellwire.notifications where recipient_id = '2' and type = 'message.received'",
  );
  await writer.end();
  return {
    "commit to client, median ms": quantile(lags, 0.5),
    "commit to client, 99th ms": quantile(lags, 0.99),
    "a reconnect's ready, median ms": quantile(times, 0.5),
  };
}

/** How far each figure is from constant, within its part of the scenario. */
function ratios(figures: Result["figures"]): string[] {
  const parts: [kind: RegExp, figure: string, what: string][] = [
    [/^\d+ streams$/, PER_ROW, "CPU per row, over the numbers of streams"],
    [/^\d+ streams$/, IDLE, "CPU per idle stream, over the numbers of streams"],
    [/instances$/, PER_ROW, "CPU per row and instance, over the numbers of instances"],
    [/rows$/, "commit to client, median ms", "commit to client, over the numbers of rows"],
    [/rows$/, "a reconnect's ready, median ms", "a reconnect's ready, over the numbers of rows"],
  ];
  const found = parts.flatMap(([kind, figure, what]) => {
    const values = Object.entries(figures).flatMap(([name, row]) =>
      kind.test(name) && row[figure] ? [quantile(row[figure], 0.5)] : [],
    );
    if (values.length === 0) return [];
    return [`${what}: ${(Math.max(...values) / Math.min(...values)).toFixed(2)}`];
  });
  return [`The highest median divided by the lowest: ${found.join("; ")}.`];
}
