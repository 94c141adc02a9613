import type { Config } from "../config.ts";
import { plan as planFiles } from "../migrate/migrate.ts";
import { migrationUrl } from "./migration-url.ts";

export function plan(config: Config, folders: string[]): Promise<string> {
  return planFiles({ url: migrationUrl(config), folders });
}
