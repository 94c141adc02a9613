import type { ClientBase } from "pg";
import { type Finding, look, well } from "../finding.ts";

/** A cron job that runs once a day may be this late. */
const LATE_DAYS = 2;
const MANY_ERRORS = 10_000;
const MANY_DEAD = 100_000;

/** How long rows stay, by the oldest, and whether VACUUM comes to Bellwire's tables. */
export async function checkTables(client: ClientBase, retentionDays: number): Promise<Finding[]> {
  const found = [...(await checkRetention(client, retentionDays)), ...(await checkVacuum(client))];
  return found.length > 0
    ? found
    : [well("tables", `nothing is older than RETENTION_DAYS (${retentionDays}); VACUUM comes`)];
}

async function checkRetention(client: ClientBase, retentionDays: number): Promise<Finding[]> {
  const { rows } = await client.query<{ what: string; days: number }>(OLDEST);
  return rows
    .filter(({ days }) => days > retentionDays + LATE_DAYS)
    .map(({ what, days }) =>
      look("retention", {
        seen: `the oldest ${what} is ${days} days old, and RETENTION_DAYS is ${retentionDays}`,
        why: "Nothing deletes old rows by itself, so the tables grow.",
        fix: "bellwire prune; and once a day from cron: 17 4 * * *  cd /opt/bellwire && npm run -s prune",
      }),
    );
}

async function checkVacuum(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<Table>(TABLES);
  const found: Finding[] = [];
  if (rows.some(({ isOff }) => isOff))
    found.push(
      look("vacuum", {
        seen: "autovacuum is off on this server",
        why: "Deleted and changed rows keep their space, and plans get worse.",
        fix: "As an administrator: alter system set autovacuum = on; select pg_reload_conf();",
      }),
    );
  for (const { name, isDisabled, dead, live } of rows) {
    if (isDisabled)
      found.push(
        look("vacuum", {
          seen: `autovacuum is disabled for ${name}`,
          why: "Deleted and changed rows keep their space, and plans get worse.",
          fix: `As a member of bellwire_owner: alter table ${name} reset (autovacuum_enabled);`,
        }),
      );
    if (dead > MANY_DEAD && dead > live)
      found.push(
        look("vacuum", {
          seen: `${name} has ${dead.toLocaleString("en-US")} dead rows, and ${live.toLocaleString("en-US")} others`,
          why: "Reads pass over the dead rows, so they get slower.",
          fix: `If doctor names old transactions, end them first. Then, as a member of bellwire_owner: vacuum (analyze) ${name};`,
        }),
      );
    if (name === "bellwire.rule_error_log" && live > MANY_ERRORS)
      found.push(
        look("rule_errors", {
          seen: `bellwire.rule_error_log has ${live.toLocaleString("en-US")} rows`,
          why: "Rules fail again and again, or their errors are never pruned.",
          fix: "See which: select * from bellwire.rule_errors order by errors desc; When the cause is gone, as a member of bellwire_owner: delete from bellwire.rule_error_log;",
        }),
      );
  }
  return found;
}

const OLDEST = `
(select 'notification' as what,
        floor(date_part('epoch', now() - created_at) / 86400) as days
   from bellwire.notifications
  order by id
  limit 1)
union all
(select 'record of a removal',
        floor(date_part('epoch', now() - removed_at) / 86400)
   from bellwire.removals
  order by removed_xid
  limit 1)`;

interface Table {
  name: string;
  /** On the whole server. */
  isOff: boolean;
  /** For this table. */
  isDisabled: boolean;
  dead: number;
  live: number;
}

/** Every login may read the statistics. */
const TABLES = `
select format('bellwire.%I', s.relname)                     as name,
       current_setting('autovacuum') = 'off'                as "isOff",
       coalesce('autovacuum_enabled=false' = any (c.reloptions)
                  or 'autovacuum_enabled=off' = any (c.reloptions), false) as "isDisabled",
       s.n_dead_tup::float8                                 as dead,
       s.n_live_tup::float8                                 as live
  from pg_stat_user_tables s
  join pg_class c on c.oid = s.relid
 where s.schemaname = 'bellwire'
 order by s.relname`;
