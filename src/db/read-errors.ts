import pg from "pg";

/** The answer of `bellwire.epoch()` on a standby. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const OBJECT_NOT_IN_PREREQUISITE_STATE = "55000";

/**
 * Whether the error may pass by itself: connection lost, read-only (a standby), serialization failure, deadlock, too many
 * connections, object not in the required state, cancelled or shutting down, system error.
 */
export const isTransient = (sqlState: string): boolean =>
  /^(08|25006|40001|40P01|53|55|57|58)/.test(sqlState);

/**
 * Whether a query may have failed because of its arguments or of the rows that it found, so that it may succeed with other
 * arguments: data exception, program limit exceeded, corrupted data, or a value that JavaScript cannot hold. An error
 * that every query gets (no such function, no right, database unavailable) is none of these.
 */
export function isArgumentError(err: unknown): boolean {
  if (err instanceof pg.DatabaseError) return /^(22|54|XX)/.test(err.code ?? "");
  return err instanceof RangeError || err instanceof SyntaxError;
}

/** Why a read failed, in a sentence for the operator. */
export function explainReadError(err: unknown): string {
  const code = err instanceof pg.DatabaseError ? err.code : undefined;
  if (code === OBJECT_NOT_IN_PREREQUISITE_STATE)
    return "DATABASE_URL leads to a standby; it must lead to the primary";
  if (code === undefined || isTransient(code)) return "the database does not answer";
  return `the database refuses the read (SQLSTATE ${code}); see the log`;
}
