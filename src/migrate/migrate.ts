import type pg from "pg";
import type { Logger } from "../logger.ts";
import { readVersion } from "../version.ts";
import { withConnection } from "./connect.ts";
import { describeFailure, isDatabaseError, MigrationError, SQLSTATE } from "./error.ts";
import { type FileOptions, readFiles } from "./files.ts";
import { createOpening, createPrerequisites } from "./opening.ts";
import { findPending } from "./pending.ts";
import { createScript, type Part } from "./script.ts";
import { refuseOldServer } from "./server-version.ts";
import { readSnapshot, readState } from "./state.ts";

export type MigrateOptions = FileOptions & { url: string };

/**
 * Applies all pending files in one transaction: everything or nothing. Resolves to the names of the applied files. If two runs
 * start at once, the second waits and then has nothing to do.
 *
 * A MigrationError's message can be shown to the operator unchanged.
 */
export async function migrate({
  url,
  log,
  ...options
}: MigrateOptions & { log: Logger }): Promise<{ applied: string[] }> {
  const files = readFiles(options);
  return withConnection(url, async (client) => {
    client.on("notice", ({ code, message: warning, hint }) => {
      if (code === SQLSTATE.warning) log.warn({ warning, hint }, "a file raised a warning");
    });
    const { user, database } = await readTarget(client);
    const state = await explainDenial({ user, database }, async () => {
      await client.query(createOpening(user));
      return readState(client);
    });
    const edited = state.drift.filter((drift) => drift.state !== "unknown");
    if (edited.length > 0) log.warn({ edited }, "functions were edited by hand; replacing them");
    const pending = findPending(files, state);
    for (const part of createScript(pending)) await run(client, part);
    await client.query("commit");
    const applied = pending.map(({ name }) => name);
    log.info({ database, applied }, "migrated");
    return { applied };
  });
}

/** The SQL that migrate would run now, as one script for `psql -v ON_ERROR_STOP=1 -f`. */
export async function plan({ url, ...options }: MigrateOptions): Promise<string> {
  const files = readFiles(options);
  return withConnection(url, async (client) => {
    const { user, database } = await readTarget(client);
    const state = await explainDenial({ user, database }, () => readSnapshot(client));
    const pending = findPending(files, state);
    const names = pending.map(({ name }) => `--   ${name}\n`);
    return [
      `-- Bellwire ${readVersion()}, database ${JSON.stringify(database)}, to be run by ${JSON.stringify(user)}.\n`,
      names.length > 0 ? `-- Applies:\n${names.join("")}` : "-- No file to apply.\n",
      createOpening(user),
      ...createScript(pending).map(({ sql }) => sql),
      "commit;\n",
    ].join("");
  });
}

async function run(client: pg.Client, { sql, file }: Part): Promise<void> {
  if (!file) {
    await client.query(sql);
    return;
  }
  const before = await currentTransaction(client);
  try {
    await client.query(sql);
  } catch (err) {
    throw describeFailure(err, file);
  }
  if ((await currentTransaction(client)) !== before) {
    throw new MigrationError(
      `${file.name} ended migrate's transaction. Remove its commit or rollback, and check which changes it left in the database.`,
    );
  }
}

async function currentTransaction(client: pg.Client): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>("select pg_current_xact_id()::text as id");
  return rows[0]?.id;
}

type Target = { user: string; database: string };

/** The user and database of the connection. Throws if the server cannot be migrated. */
async function readTarget(client: pg.Client): Promise<Target> {
  type Row = Target & { number: number; name: string; standby: boolean };
  const { rows } = await client.query<Row>(
    `select current_user as "user",
            current_database() as database,
            current_setting('server_version_num')::integer as number,
            current_setting('server_version') as name,
            pg_is_in_recovery() as standby`,
  );
  const [row] = rows;
  if (!row) throw new Error("a select without from returned no row");
  refuseOldServer(row);
  if (row.standby) {
    throw new MigrationError("This is a standby and cannot be changed. Connect to the primary.");
  }
  return row;
}

/** Runs a step that creates the roles and the schema. If the user lacks the right, the error has the SQL for an administrator. */
async function explainDenial<T>({ user, database }: Target, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (err) {
    if (!isDatabaseError(err) || err.code !== SQLSTATE.insufficientPrivilege) throw err;
    throw new MigrationError(
      `The user ${JSON.stringify(user)} may not prepare this database: ${err.message}. Nothing was changed.
Ask an administrator to run this once in database ${JSON.stringify(database)}. Then run migrate again:

${createPrerequisites(user)}`,
      { cause: err },
    );
  }
}
