import type { ClientBase } from "pg";
import { type Finding, look, well } from "../finding.ts";

interface Transaction {
  /** pid of a session, or the name of a prepared transaction. */
  name: string;
  isPrepared: boolean;
  role: string;
  database: string;
  state: string;
  minutes: number;
}

const WHY =
  "VACUUM cannot remove old row versions in the whole server while it is open: tables grow, and every cursor must list it.";

/** Transactions that wrote and stay open, or idle, and prepared ones that nobody ends. A dump only reads, and may take long. */
export async function checkTransactions(
  client: ClientBase,
  { longSeconds = 300 } = {},
): Promise<Finding[]> {
  const { rows } = await client.query<Transaction>(LONG, [longSeconds]);
  if (rows.length > 0) return rows.map(describe);
  const { rows: rights } = await client.query<{ seesAll: boolean }>(
    `select pg_has_role('pg_read_all_stats', 'usage') as "seesAll"`,
  );
  const hidden = rights[0]?.seesAll
    ? ""
    : "; those of other logins are shown only to a member of pg_monitor";
  return [well("transactions", `none is forgotten${hidden}`)];
}

function describe({ name, isPrepared, role, database, state, minutes }: Transaction): Finding {
  const whose = `of ${role} in database ${database}`;
  if (isPrepared)
    return look("prepared_transactions", {
      seen: `prepared transaction ${name} ${whose} has waited for ${minutes} min`,
      why: WHY,
      fix: `Ask the program that prepared it. If none will end it, in that database: rollback prepared ${name}; or commit prepared ${name};`,
    });
  return look("transactions", {
    seen: `a session ${whose} has had a transaction open for ${minutes} min (pid ${name}, ${state})`,
    why: WHY,
    fix: `See what it does: select query from pg_stat_activity where pid = ${name}; To end it: select pg_terminate_backend(${name});`,
  });
}

const LONG = `
select pid::text as name,
       false as "isPrepared",
       usename as role,
       datname as database,
       state,
       floor(date_part('epoch', clock_timestamp() - xact_start) / 60) as minutes
  from pg_stat_activity
 where xact_start < clock_timestamp() - make_interval(secs => $1)
   and backend_type = 'client backend'
   and pid <> pg_backend_pid()
   and (backend_xid is not null or state like 'idle in transaction%')
union all
select quote_literal(gid),
       true,
       owner,
       database,
       'prepared',
       floor(date_part('epoch', clock_timestamp() - prepared) / 60)
  from pg_prepared_xacts
 where prepared < clock_timestamp() - make_interval(secs => $1)
 order by minutes desc
 limit 5`;
