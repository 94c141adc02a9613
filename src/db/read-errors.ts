import pg from "pg";

/** What `bellwire.epoch()` answers on a standby. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const OBJECT_NOT_IN_PREREQUISITE_STATE = "55000";

/**
 * Whether what a SQLSTATE says passes by itself: connection lost, read-only (a standby), serialization failure, deadlock, too
 * many connections, not in that state, cancelled or shutting down, system error.
 */
export const isTransient = (sqlState: string): boolean =>
  /^(08|25006|40001|40P01|53|55|57|58)/.test(sqlState);

/**
 * Whether a query may have been refused for what it was asked with or for what it found, and may answer if asked for
 * something else: data exception, program limit exceeded, corrupted data; or a value that JavaScript cannot hold. What is
 * refused whoever asks (no such function, no right, the database away) is none of these.
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
