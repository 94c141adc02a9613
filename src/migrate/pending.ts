import { MigrationError } from "./error.ts";
import type { MigrationFile } from "./files.ts";
import type { DatabaseState } from "./state.ts";

/** The files that a run must apply, in order. Throws if code and database contradict each other. */
export function findPending(files: MigrationFile[], state: DatabaseState): MigrationFile[] {
  const applied = new Map(state.history.map((row) => [row.name, row]));
  refuseStrays(state.strays);
  refuseNewerSchema(files, state);
  refuseEdited(files, applied);
  refuseOutOfOrder(files, applied);
  // If a function was edited by hand, we do not know its file, so all repeatable files are applied again.
  const hasDrifted = state.drift.some(({ state }) => state !== "unknown");
  // Nor do we know the file of a rule.
  const hasLostRules = state.lostRules.length > 0;
  const pending = new Set<string>();
  for (const { name, kind, checksum, requires, isFurther } of files) {
    const row = applied.get(name);
    const hasChanged =
      hasDrifted ||
      (isFurther && hasLostRules) ||
      row?.checksum !== checksum ||
      requires.some((file) => pending.has(file));
    if (!row || (kind === "repeatable" && hasChanged)) pending.add(name);
  }
  return files.filter(({ name }) => pending.has(name));
}

type Applied = Map<string, { checksum: string }>;

function refuseStrays(strays: string[]): void {
  if (strays.length === 0) return;
  const few = strays.length > 3 ? [...strays.slice(0, 3), "…"] : strays;
  throw new MigrationError(
    `Schema bellwire is incomplete: it has ${few.join(", ")} but no history, so migrate did not create it.
If nothing in it is needed: drop schema bellwire cascade; and run migrate again. Otherwise restore a backup.`,
  );
}

function refuseNewerSchema(files: MigrationFile[], state: DatabaseState): void {
  const known = new Set(files.map(({ name }) => name));
  const missing = state.history.filter(
    ({ name, kind }) => kind === "versioned" && !known.has(name),
  );
  if (missing.length === 0) return;
  throw new MigrationError(
    `The database is newer than this code: it has ${missing.map(({ name }) => name).join(", ")}.
Deploy the newer Bellwire and migrate with it. (If a file was renamed or deleted, restore it.)`,
  );
}

function refuseEdited(files: MigrationFile[], applied: Applied): void {
  for (const { name, kind, checksum } of files) {
    const row = applied.get(name);
    if (kind === "repeatable" || !row || row.checksum === checksum) continue;
    throw new MigrationError(
      `${name} was edited after it was applied (applied ${row.checksum.slice(0, 8)}, now ${checksum.slice(0, 8)}).
Restore the file, and put the change into a new migration.`,
    );
  }
}

function refuseOutOfOrder(files: MigrationFile[], applied: Applied): void {
  const versioned = files.filter(({ kind }) => kind === "versioned");
  const last = versioned.findLast(({ name }) => applied.has(name));
  const late = versioned.find(({ name }) => !applied.has(name));
  if (!last || !late || late.name > last.name) return;
  throw new MigrationError(
    `${late.name} is new, but ${last.name} has already been applied. Give the new file the next number.`,
  );
}
