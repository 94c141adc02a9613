import type { Pool } from "pg";
import type { Logger } from "../logger.ts";

/** What keeps a session of ours that hangs from holding up the database. */
const LIMITS = ["idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"];

/**
 * Warns of limits the login does not have. They are for its owner to set (docs/dba.md), because through a pooler in
 * transaction mode a setting of ours would be that of whoever gets the session next. A database that is away is not
 * asked again.
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
    // That it is away is said by whoever needs it.
  }
}
