import { readDatabaseConfig } from "../config.ts";
import { createLogger } from "../logger.ts";
import { loadConfig } from "../main.ts";
import { migrate } from "../migrate/migrate.ts";
import { createCommand } from "./command.ts";
import { namedFolders } from "./folders.ts";
import { migrationUrl } from "./migration-url.ts";
import { say } from "./say.ts";

export const command = createCommand({
  help: `bellwire migrate [folder…]

Brings the database up to date: schema bellwire, its roles and functions, then the SQL files of the folders, which contain your rules.
Applies everything or nothing. If it waits for a lock or builds an index, it says so every three seconds. Reads DATABASE_URL and DIRECT_DATABASE_URL.`,
  async run({ args }) {
    const config = loadConfig(readDatabaseConfig);
    const log = createLogger(config.logLevel);
    const folders = namedFolders(args);
    const { applied } = await migrate({ url: migrationUrl(config), folders, log, say });
    const text = applied.length === 0 ? "Nothing to do." : `Applied:\n${applied.join("\n")}`;
    return { text };
  },
});
