import { readDatabaseConfig } from "../config.ts";
import { EXIT } from "../exit-code.ts";
import { loadConfig } from "../main.ts";
import { formatStatus, status } from "../migrate/status.ts";
import { createCommand } from "./command.ts";
import { namedFolders } from "./folders.ts";
import { migrationUrl } from "./migration-url.ts";

export const command = createCommand({
  help: `bellwire status [folder…]

Compares the database with this release and with the SQL files of the folders: migrations, functions that were edited by hand, rules and
their errors, roles. Changes nothing. Exits with 1 where a person is needed. Reads DATABASE_URL and DIRECT_DATABASE_URL.`,
  async run({ args }) {
    const folders = namedFolders(args);
    const found = await status({ url: migrationUrl(loadConfig(readDatabaseConfig)), folders });
    const text = formatStatus(found);
    return found.needs.length > 0 ? { text, exitCode: EXIT.look } : { text };
  },
});
