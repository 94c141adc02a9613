import { readDatabaseConfig } from "../config.ts";
import { loadConfig } from "../main.ts";
import { plan } from "../migrate/migrate.ts";
import { createCommand } from "./command.ts";
import { namedFolders } from "./folders.ts";
import { migrationUrl } from "./migration-url.ts";

export const command = createCommand({
  help: `bellwire plan [folder…]

Prints the SQL that migrate would run, for psql -v ON_ERROR_STOP=1 -f. Changes nothing. Reads DATABASE_URL and DIRECT_DATABASE_URL.`,
  async run({ args }) {
    const folders = namedFolders(args);
    return { text: await plan({ url: migrationUrl(loadConfig(readDatabaseConfig)), folders }) };
  },
});
