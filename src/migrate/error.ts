import pg from "pg";

/** The codes that migrate tells apart, under the names of PostgreSQL's table of error codes. */
export const SQLSTATE = {
  insufficientPrivilege: "42501",
  internalError: "XX000",
  invalidSchemaName: "3F000",
  lockNotAvailable: "55P03",
  undefinedFunction: "42883",
  undefinedTable: "42P01",
  untranslatableCharacter: "22P05",
  warning: "01000",
} as const;

const HINTS: Record<string, string> = {
  [SQLSTATE.lockNotAvailable]:
    "Another session holds a lock that this file needs. Run the command again when that session has finished.",
  [SQLSTATE.untranslatableCharacter]:
    "The database's encoding lacks this character. Replace the character, or use a database in UTF8.",
};

/** A problem that only a person can solve. The message says what to do; print nothing else. */
export class MigrationError extends Error {
  override name = "MigrationError";
}

export function isDatabaseError(err: unknown): err is pg.DatabaseError {
  return err instanceof pg.DatabaseError;
}

/** `sql/public/notify.sql:12: type "txet" does not exist`, the server's hint, and that nothing was changed. */
export function describeFailure(err: unknown, file: { name: string; sql: string }): MigrationError {
  if (!isDatabaseError(err)) {
    return new MigrationError(`${file.name}: ${String(err)}\nNothing was changed.`, { cause: err });
  }
  // The file itself may run within a block.
  const position = err.internalQuery === file.sql ? err.internalPosition : err.position;
  const line = position ? `:${lineAt(file.sql, Number(position))}` : "";
  const hint = (err.code && HINTS[err.code]) ?? err.hint;
  // From the server's context only the position in a function, because the rest may quote rows.
  const where = err.where?.split("\n").find((context) => context.startsWith("PL/pgSQL function"));
  const message = [
    `${file.name}${line}: ${err.message}`,
    ...(where ? [`In ${where}`] : []),
    ...(hint ? [`Hint: ${hint}`] : []),
    "Nothing was changed.",
  ];
  return new MigrationError(message.join("\n"), { cause: err });
}

/** The server counts characters from 1. A JavaScript string counts an emoji as two. */
function lineAt(text: string, position: number): number {
  const before = [...text].slice(0, position - 1).join("");
  return before.split("\n").length;
}
