import type { Config } from "../config.ts";
import { formatStatus, status as readStatus } from "../migrate/status.ts";
import { migrationUrl } from "./migration-url.ts";

export async function status(config: Config, folders: string[]): Promise<string> {
  const found = await readStatus({ url: migrationUrl(config), folders });
  if (found.drifted || found.broken) process.exitCode = 1;
  return formatStatus(found);
}
