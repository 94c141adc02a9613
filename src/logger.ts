import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger };

/** Keys whose values are secrets or a user's words, wherever they turn up in a logged object. */
const SECRETS = [
  "authorization",
  "cookie",
  "token",
  "ticket",
  "url",
  "connectionString",
  "password",
];

/**
 * The process's log: one JSON object a line on standard output. A database error's `detail`, `where` and
 * `internalQuery` can quote a row, so an `err` is logged by name, code and message only.
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRETS.flatMap((key) => [key, `*.${key}`]), censor: "[redacted]" },
    serializers: { err: describeError },
  };
  return destination ? pino(options, destination) : pino(options);
}

function describeError(err: unknown): unknown {
  if (!(err instanceof Error)) return { message: String(err) };
  const { name, message, stack, cause } = err;
  const code = "code" in err ? err.code : undefined;
  return { name, code, message, stack, ...(cause ? { cause: describeError(cause) } : {}) };
}
