import "../bundle.js";
import { type App, startApp } from "../../src/app/app.ts";
import type { Config } from "../../src/config.ts";
import { readConfig } from "../../src/config.ts";
import type { Logger } from "../../src/logger.ts";
import { loadConfig, runService } from "../../src/main.ts";
import { MigrationError } from "../../src/migrate/error.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { createOutput } from "../../src/output.ts";

/** The embedded server that dev.ts holds; none with DATABASE_URL. */
const [url, dir] = process.argv.slice(2);

await runService(loadConfig(readConfig), greet, async (config, log) => {
  try {
    return await startMigrated(config, log);
  } catch (err) {
    // An error in a file has a cause. Without one, the files do not fit what the database has.
    if (dir && err instanceof MigrationError && !err.cause)
      err.message += `\nTo start with a new development database: press Ctrl-C, rm -rf ${dir}, npm run dev.`;
    throw err;
  }
});

/** At each restart, so shorter than the one of `bellwire start`. */
function greet({ address, embeddedUrl }: App): void {
  if (embeddedUrl) createOutput(1).write(`\n  page  ${address}   psql ${embeddedUrl}\n\n`);
}

/** As `bellwire start`, except that it also migrates a database of yours. */
async function startMigrated(config: Config, log: Logger) {
  if (config.database.kind === "external") await migrate({ url: config.database.directUrl, log });
  return startApp(config, log, async () => {
    if (!url) throw new Error("Run npm run dev, which starts the embedded server.");
    return { url, close: async () => {} };
  });
}
