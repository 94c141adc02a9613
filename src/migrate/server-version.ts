import { MigrationError } from "./error.ts";

/** The oldest PostgreSQL that the tests run on. */
const OLDEST_MAJOR = 15;

/**
 * Refuses a server that is too old, before anything else. Otherwise it would fail at some line of SQL that it does not know, or run
 * SQL that was never tested on it. `number` is its `server_version_num`: 150017 for 15.17.
 */
export function refuseOldServer({ number, name }: { number: number; name: string }): void {
  if (number >= OLDEST_MAJOR * 10_000) return;
  throw new MigrationError(
    `This server is PostgreSQL ${name}. Bellwire needs PostgreSQL ${OLDEST_MAJOR} or newer: upgrade the server. Nothing was changed.`,
  );
}
