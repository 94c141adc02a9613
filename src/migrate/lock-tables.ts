import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { RuleChange } from "./compare-rules.ts";
import { isDatabaseError, MigrationError, SQLSTATE } from "./error.ts";

/**
 * All well below PostgreSQL's deadlock_timeout, 1 s: a writer that waits for us while we wait for it must not be cancelled as a deadlock. The
 * short ones soon try again after such a meeting, the long ones outwait a long transaction.
 */
const TRIES_MS = [50, 100, 200, 400];
const PAUSE_MS = 50;
const GIVE_UP_MS = 5000;

/**
 * Locks the tables that get or lose a trigger, all or none at a time, so that the application's transactions may write to them in any order
 * meanwhile. Each attempt is short, and an attempt that fails gives back what it has got. Needs an open transaction.
 */
export async function lockTables(client: pg.Client, changes: readonly RuleChange[]): Promise<void> {
  const getting = changes.filter(getsTrigger).map(({ table }) => table);
  const losing = changes.flatMap(listLosing);
  const { rows } = await client.query<{ tables: string | null; locks: string }>(LOCKABLE, [
    losing,
    getting,
  ]);
  const { tables, locks } = rows[0] ?? {};
  if (!tables || !locks) return;
  const giveUpAt = performance.now() + GIVE_UP_MS;
  for (let tries = 0; ; tries++) {
    await client.query(
      `savepoint locks; set local lock_timeout = ${TRIES_MS[tries % TRIES_MS.length]}`,
    );
    try {
      await client.query(locks);
      return;
    } catch (err) {
      if (!isDatabaseError(err) || err.code !== SQLSTATE.lockNotAvailable) throw err;
      await client.query("rollback to savepoint locks");
      if (performance.now() < giveUpAt) {
        await sleep(PAUSE_MS);
        continue;
      }
      throw new MigrationError(
        `Another session has held a lock on one of ${tables} for ${GIVE_UP_MS / 1000} s. Nothing was changed. Run the command again when that session has finished.`,
        { cause: err },
      );
    }
  }
}

const getsTrigger = ({ state, differences }: RuleChange) =>
  state === "new" ||
  state === "mended" ||
  differences.some(({ what }) => what === "table" || what === "event");

/** To drop a trigger locks its table in access exclusive mode. Taken later, it would wait with all other locks held. */
const listLosing = ({ state, table, differences }: RuleChange): string[] =>
  state === "dropped"
    ? [table]
    : differences.flatMap(({ what, from }) =>
        what === "table" ? [from] : what === "event" ? [table] : [],
      );

/** Those that are there already, and that we may lock: to define a rule, the right to create triggers is enough. */
const LOCKABLE = `
select string_agg(distinct name, ', ') as tables,
       string_agg(format('lock table %s in %s mode', name, mode), '; ' order by mode, name) as locks
  from (
         select unnest($1::text[]) as name, 'access exclusive' as mode
          union
         select unnest($2::text[]), 'share row exclusive'
       ) as wanted
 where to_regclass(name) is not null
   and has_table_privilege(to_regclass(name), 'update, delete, truncate')`;
