import pg from "pg";

/** What `bellwire.epoch()` answers on a standby. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const OBJECT_NOT_IN_PREREQUISITE_STATE = "55000";

/** Classes of SQLSTATE that pass by themselves: connection lost, too many connections, shutting down, system error. */
const PASSING = /^(08|53|57|58)/;

/** Why a read failed, in a sentence for the operator. */
export function explainReadError(err: unknown): string {
  const code = err instanceof pg.DatabaseError ? err.code : undefined;
  if (code === OBJECT_NOT_IN_PREREQUISITE_STATE)
    return "DATABASE_URL leads to a standby; it must lead to the primary";
  if (code === undefined || PASSING.test(code)) return "the database does not answer";
  return `the database refuses the read (SQLSTATE ${code}); see the log`;
}
