import type { Client } from "pg";
import type { Logger } from "../logger.ts";
import { readVersion } from "../version.ts";
import { withConnection } from "./connect.ts";
import { isDatabaseError, MigrationError, SQLSTATE } from "./error.ts";
import type { MigrationFile } from "./files.ts";
import { type FileOptions, readFiles } from "./files.ts";
import { createOpening, createPrerequisites } from "./opening.ts";
import { findPending } from "./pending.ts";
import { withProgress } from "./progress.ts";
import { runPart } from "./run-part.ts";
import { createScript } from "./script.ts";
import { readSnapshot, readState } from "./state.ts";
import { readTarget, type Target } from "./target.ts";

export type MigrateOptions = FileOptions & { url: string };

type Report = {
  log: Logger;
  /** Gets a line every three seconds while it waits or works. */
  say?: (line: string) => void;
};

/**
 * Applies all pending files in one transaction: everything or nothing. Resolves to the names of the applied files. If two runs
 * start at once, the second waits and then has nothing to do.
 *
 * A MigrationError's message can be shown to the operator unchanged.
 */
export async function migrate({
  url,
  log,
  say,
  ...options
}: MigrateOptions & Report): Promise<{ applied: string[] }> {
  const files = readFiles(options);
  return withConnection(url, (client) =>
    withProgress({ url, client, say }, () => apply(client, files, log)),
  );
}

async function apply(
  client: Client,
  files: MigrationFile[],
  log: Logger,
): Promise<{ applied: string[] }> {
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
  const { lostRules } = state;
  if (lostRules.length > 0) log.warn({ lostRules }, "rules have lost their table or trigger");
  const pending = findPending(files, state);
  for (const part of createScript(pending)) await runPart(client, part);
  await client.query("commit");
  const applied = pending.map(({ name }) => name);
  log.info({ database, applied }, "migrated");
  return { applied };
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
