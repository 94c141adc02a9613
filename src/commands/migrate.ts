import type { Config } from "../config.ts";
import { createLogger } from "../logger.ts";
import { migrate as applyFiles } from "../migrate/migrate.ts";
import { migrationUrl } from "./migration-url.ts";

export async function migrate(config: Config, folders: string[]): Promise<string> {
  const log = createLogger(config.logLevel);
  const { applied } = await applyFiles({ url: migrationUrl(config), folders, log });
  return applied.length === 0 ? "Nothing to do." : `Applied:\n${applied.join("\n")}`;
}
