import type { ClientBase, Pool } from "pg";
import type { Logger } from "../logger.ts";
import { ConnectionError, withConnection } from "./connect.ts";
import { isDatabaseError, MigrationError, SQLSTATE } from "./error.ts";
import { readVersioned } from "./files.ts";

/**
 * For the service's start, as bellwire_service. Throws if the database lacks a migration that this code needs. A newer schema
 * is allowed, because a rolling deploy may restart an old instance. Resolves to the migrations that this code does not
 * know, for a warning.
 */
export async function checkSchema(
  database: ClientBase | Pool,
  { root }: { root?: string } = {},
): Promise<{ newer: string[] }> {
  const known = readVersioned(root).map(({ name }) => name);
  const applied = await readVersionedHistory(database);
  const missing = known.filter((name) => !applied.includes(name));
  if (missing.length > 0) {
    throw new MigrationError(
      `The database lacks ${missing.join(", ")}. Run bellwire migrate first.`,
    );
  }
  return { newer: applied.filter((name) => !known.includes(name)) };
}

async function readVersionedHistory(database: ClientBase | Pool): Promise<string[]> {
  try {
    const { rows } = await database.query<{ name: string }>(
      "select name from bellwire.schema_history where kind = 'versioned' order by name",
    );
    return rows.map(({ name }) => name);
  } catch (err) {
    if (!isDatabaseError(err)) throw err;
    if (err.code === SQLSTATE.undefinedTable) return [];
    if (err.code !== SQLSTATE.insufficientPrivilege) throw err;
    const { rows } = await database.query<{ remedy: string }>(REMEDY);
    throw new MigrationError(
      `The service's user may not read Bellwire's tables: ${err.message}.
As a superuser, or as the role that created bellwire_service: ${rows[0]?.remedy}`,
      { cause: err },
    );
  }
}

/** A role may be set not to inherit the rights of its groups. From PG 16 a grant overrides that. */
const REMEDY = `
select format(
         case
           when current_setting('server_version_num')::int >= 160000 then 'grant bellwire_service to %I with inherit true;'
           when pg_has_role('bellwire_service', 'member') then 'alter role %I inherit;'
           else 'grant bellwire_service to %I;'
         end,
         current_user
       ) as remedy`;

/**
 * For the service's start. Throws if a person must act before a connection can be made: the login is refused, or there is no such
 * database. A database that does not answer is waited for later.
 */
export async function refuseLogin(urls: string[], log: Logger): Promise<void> {
  const options = { name: "bellwire", limitMs: 5000 };
  for (const url of new Set(urls)) {
    try {
      await withConnection(url, async () => {}, options);
    } catch (err) {
      if (!(err instanceof ConnectionError)) throw err;
      if (err.needsPerson) throw err;
      log.warn({ problem: err.message }, "cannot connect to the database; will retry");
    }
  }
}

/** `checkSchema`, but an unavailable database does not stop the start: the service waits for it later. */
export async function refuseOldSchema(pool: Pool, log: Logger): Promise<void> {
  try {
    const { newer } = await checkSchema(pool);
    if (newer.length > 0) log.warn({ newer }, "the database has migrations this version lacks");
  } catch (err) {
    if (err instanceof MigrationError) throw err;
    log.warn({ err }, "cannot check the schema; starting without the check");
  }
}
