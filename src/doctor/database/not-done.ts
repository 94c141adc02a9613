import { isDatabaseError, SQLSTATE } from "../../migrate/error.ts";
import { type Finding, look } from "../finding.ts";

/** Of the codes of PostgreSQL: the end of `statement_timeout`, or a cancellation. */
const QUERY_CANCELED = "57014";

/** undefined_table, undefined_column, undefined_function */
const UNDEFINED = ["42P01", "42703", "42883"];

/** The connection broke or hangs. An error of the database is an answer, and a TypeError is a mistake of ours. */
export const isLost = (err: unknown): boolean =>
  !isDatabaseError(err) && !(err instanceof TypeError);

/** A check that could not be made is a finding, and the others are made all the same. */
export function explainUndone(check: string, err: unknown): Finding {
  const message = err instanceof Error ? err.message : String(err);
  const why = "What is wrong there was not seen.";
  if (isLost(err))
    return look(check, {
      seen: `not checked, nor what comes after it: the database stopped answering (${message})`,
      why,
      fix: "Run doctor again. If it ends here again, see what the server waits for, and read its log: select pid, usename, wait_event_type, query from pg_stat_activity where state <> 'idle';",
    });
  if (
    isDatabaseError(err) &&
    (err.code === SQLSTATE.lockNotAvailable || err.code === QUERY_CANCELED)
  )
    return look(check, {
      seen: `not checked, because it took too long: ${message}`,
      why,
      fix: "Run doctor again. See who holds the lock: select pid, usename, query from pg_stat_activity where pid in (select unnest(pg_blocking_pids(pid)) from pg_stat_activity);",
    });
  if (isDatabaseError(err) && err.code === SQLSTATE.insufficientPrivilege)
    return look(check, {
      seen: `not checked: ${message}`,
      why,
      fix: "Run doctor with the DATABASE_URL of the login that runs bellwire migrate.",
    });
  if (isDatabaseError(err) && UNDEFINED.includes(err.code ?? ""))
    return look(check, {
      seen: `not checked, because the schema is of another release: ${message}`,
      why,
      fix: "First bring the schema up to date: bellwire migrate DIR, where DIR has your rules. Then run doctor again.",
    });
  return look(check, { seen: `not checked: ${message}`, why, fix: "Run doctor again." });
}
