import type { Pool } from "pg";

/** Suspends wake-ups for this long, at most a second. Throws what `pg` throws. */
export async function suspendWakeupsFor(pool: Pool, ms: number): Promise<void> {
  await pool.query("select bellwire.suspend_wakeups_for($1)", [ms]);
}
