import type { Config } from "../config.ts";
import { urlOf } from "../embedded/postmaster.ts";

/** The direct connection; in embedded mode the server that `start` keeps running. */
export function migrationUrl({ database }: Pick<Config, "database">): string {
  return database.kind === "external" ? database.directUrl : urlOf(database.port, "bellwire");
}
