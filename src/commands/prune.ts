import { readPruneConfig } from "../config.ts";
import { retryConflicts } from "../db/retry.ts";
import { loadConfig } from "../main.ts";
import { checkSchema } from "../migrate/check-schema.ts";
import { withConnection } from "../migrate/connect.ts";
import { createCommand } from "./command.ts";
import { migrationUrl } from "./migration-url.ts";
import { say } from "./say.ts";

export const command = createCommand({
  help: `bellwire prune

Deletes notifications older than RETENTION_DAYS, a thousand at a time. Reads DATABASE_URL, DIRECT_DATABASE_URL and RETENTION_DAYS.`,
  async run() {
    const config = loadConfig(readPruneConfig);
    const { retentionDays } = config;
    const pruned = await pruneAll({ url: migrationUrl(config), retentionDays, say });
    return { text: `Deleted ${pruned} notifications older than ${retentionDays} days.` };
  },
});

const SAY_MS = 3000;

export interface PruneOptions {
  url: string;
  retentionDays: number;
  /** Gets a line every three seconds. */
  say?: (line: string) => void;
}

/**
 * Deletes notifications older than the retention, and the records of removals that old. It deletes a thousand at a time, so that
 * no other transaction waits for long. Returns the number of notifications.
 */
export async function pruneAll(options: PruneOptions): Promise<number> {
  return withConnection(
    options.url,
    async (client) => {
      await checkSchema(client);
      let saidAt = performance.now();
      for (let pruned = 0; ; ) {
        const { rows } = await retryConflicts(() =>
          client.query<{ deleted: string }>(
            "select bellwire.prune(current_timestamp - make_interval(days => $1)) as deleted",
            [options.retentionDays],
          ),
        );
        const deleted = Number(rows[0]?.deleted ?? 0);
        pruned += deleted;
        if (performance.now() - saidAt > SAY_MS) {
          saidAt = performance.now();
          options.say?.(`Deleted ${pruned} until now.`);
        }
        if (deleted > 0) continue;
        // After a mass delete by hand there are more old removals than one call of bellwire.prune() deletes.
        const { rows: oldest } = await retryConflicts(() =>
          client.query<{ isOld: boolean }>(
            `select removed_at < current_timestamp - make_interval(days => $1) as "isOld"
               from bellwire.removals order by removed_xid limit 1`,
            [options.retentionDays],
          ),
        );
        if (!oldest[0]?.isOld) return pruned;
      }
    },
    { name: "bellwire prune" },
  );
}
