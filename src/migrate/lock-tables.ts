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
 * Locks the tables that get a trigger, all or none at a time, so that the application's transactions may write to them in any order
 * meanwhile. Each attempt is short, and an attempt that fails gives back what it has got. Needs an open transaction.
 */
export async function lockTables(client: pg.Client, changes: readonly RuleChange[]): Promise<void> {
  const wanted = changes.filter(getsTrigger).map(({ table }) => table);
  const { rows } = await client.query<{ tables: string | null }>(LOCKABLE, [wanted]);
  const tables = rows[0]?.tables;
  if (!tables) return;
  const giveUpAt = performance.now() + GIVE_UP_MS;
  for (let tries = 0; ; tries++) {
    await client.query(
      `savepoint locks; set local lock_timeout = ${TRIES_MS[tries % TRIES_MS.length]}`,
    );
    try {
      await client.query(`lock table ${tables} in share row exclusive mode`);
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

/** Those that are there already, and that we may lock: to define a rule, the right to create triggers is enough. */
const LOCKABLE = `
select string_agg(distinct name, ', ') as tables
  from unnest($1::text[]) as name
 where to_regclass(name) is not null
   and has_table_privilege(to_regclass(name), 'update, delete, truncate')`;
