import type { Pool } from "pg";
import type { Logger } from "../logger.ts";

/** With these limits, a session of ours that hangs cannot block other sessions for long. */
export const LIMITS = ["idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"];

/**
 * Warns if the login lacks one of these limits. The DBA sets them on the login (docs/dba.md). The service cannot set them, because
 * through a pooler in transaction mode they would also apply to the session's next client. If the database is unavailable, the
 * check is skipped.
 */
export async function warnOfMissingLimits(pool: Pool, log: Logger): Promise<void> {
  try {
    const { rows } = await pool.query<{ name: string }>(
      "select name from pg_settings where name = any ($1) and setting = '0' order by name",
      [LIMITS],
    );
    const missing = rows.map(({ name }) => name);
    if (missing.length > 0)
      log.warn({ missing }, "the database login has no limits for its sessions; see docs/dba.md");
  } catch {
    // The parts that need the database say that it is unavailable.
  }
}
