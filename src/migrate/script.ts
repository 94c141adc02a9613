import pg from "pg";
import { readVersion } from "../version.ts";
import type { MigrationFile } from "./files.ts";
import { SETTINGS } from "./opening.ts";
import { SETTLE } from "./settle.ts";

/** With a `file`, `sql` is the file's text from its first line, so that the server's error positions match the file. */
export type Part = { sql: string; file?: MigrationFile };

/** The parts of a run between its opening and its commit. */
export function createScript(pending: MigrationFile[]): Part[] {
  const own = pending.filter(({ isFurther }) => !isFurther);
  const further = pending.filter(({ isFurther }) => isFurther);
  const version = readVersion();
  return [
    ...own.flatMap((file) => createFileParts(file, version)),
    // SETTLE also runs before the further files: they call Bellwire's functions, some of which must belong to bellwire_owner by then.
    ...(further.length > 0 ? [{ sql: SETTLE }] : []),
    ...further.flatMap((file) => createFileParts(file, version)),
    { sql: SETTLE },
  ];
}

/** The history row comes first. So a printed plan that is run a second time stops there, before it creates anything. */
export function createFileParts(file: MigrationFile, version: string): Part[] {
  const values = [file.name, file.kind, file.checksum, version].map(pg.escapeLiteral);
  const again = `
on conflict (name) do update
set checksum   = excluded.checksum,
    applied_at = excluded.applied_at,
    applied_by = excluded.applied_by,
    version    = excluded.version`;
  return [
    {
      sql: `
-- ${file.name}
insert into bellwire.schema_history (name, kind, checksum, version)
values (${values.join(", ")})${file.kind === "repeatable" ? again : ""};
${SETTINGS}
`,
    },
    { sql: closeStatement(file.sql), file },
  ];
}

/** Ends the file's last statement, so that the next part does not continue it. */
function closeStatement(sql: string): string {
  return sql.trimEnd().endsWith(";") ? sql : `${sql}\n;\n`;
}
