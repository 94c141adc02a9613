import type { Logger } from "../logger.ts";
import { DatabaseUnavailableError, sqlStateOf } from "./unavailable.ts";

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const MEANINGS: Record<string, string> = {
  "25006": "the session is read-only",
  "55000": "no trigger fires in the session (session_replication_role)",
  "53100": "its disk is full",
  "53200": "it is out of memory",
  "53300": "it has too many connections",
  "58030": "input or output failed",
};

export type Writes = ReturnType<typeof createWrites>;

/**
 * Watches the writes for recipients (marks, preferences, tickets). With a full disk a database may answer every read and refuse
 * every write. So may a session that is read-only, or that has a setting of another client of the pooler. Only the writes show that.
 */
export function createWrites(log: Logger) {
  let warning: string | undefined;

  function fail(state: string) {
    const meaning = MEANINGS[state] ?? "it lacks something, or its system failed";
    if (!warning) log.error({ sqlState: state }, "the database refuses writes");
    warning = `the database refuses writes: ${meaning} (SQLSTATE ${state}, last at ${new Date().toISOString()})`;
  }

  function succeed() {
    if (warning) log.info("the database accepts writes again");
    warning = undefined;
  }

  return {
    warnings: () => (warning ? [warning] : []),

    /** Wraps a function that writes. `hasWritten` says whether an answer means that a row was written. */
    watch<Args extends unknown[], Result>(
      call: (...args: Args) => Promise<Result>,
      hasWritten: (result: Result) => boolean = () => true,
    ) {
      return async (...args: Args): Promise<Result> => {
        try {
          const result = await call(...args);
          if (hasWritten(result)) succeed();
          return result;
        } catch (err) {
          const state = err instanceof DatabaseUnavailableError ? sqlStateOf(err.cause) : undefined;
          if (state && /^(25006|55000|5[38])/.test(state)) fail(state);
          throw err;
        }
      };
    },
  };
}
