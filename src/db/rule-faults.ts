import type { Pool } from "pg";
import type { Logger } from "../logger.ts";

export interface RuleFaultsOptions {
  pool: Pool;
  log: Logger;
  lookMs?: number;
}

/**
 * Looks once a minute for rules that do not fire where they should: after a table was dropped and created again, for example. The
 * application's writes succeed then, and nobody is told.
 */
export function watchRuleFaults({ pool, log, lookMs = 60_000 }: RuleFaultsOptions) {
  let warnings: string[] = [];
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  async function look() {
    const { rows } = await pool.query<{ rule: string; seen: string }>(
      "select rule, seen from bellwire.rule_faults",
    );
    const found = rows.map(({ rule, seen }) => `rule ${rule}: ${seen}`);
    const added = found.filter((warning) => !warnings.includes(warning));
    if (added.length > 0) log.warn({ rules: added }, "rules do not fire where they should");
    else if (found.length === 0 && warnings.length > 0) log.info("all rules fire again");
    warnings = found;
  }

  async function keepLooking() {
    await look().catch((err) => {
      // If the database is unavailable, the feed logs that. What was seen last stays.
      log.debug({ err }, "cannot look at the rules");
    });
    if (!isClosed) timer = setTimeout(keepLooking, lookMs);
  }
  void keepLooking();

  return {
    /** One sentence for each such rule. `bellwire status` says what to do. */
    warnings: () => warnings,
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
