import type { Pool } from "pg";

/** Has no wake-ups sent for so many milliseconds, a second at the most. Throws what `pg` throws. */
export async function suspendWakeupsFor(pool: Pool, ms: number): Promise<void> {
  await pool.query("select bellwire.suspend_wakeups_for($1)", [ms]);
}
