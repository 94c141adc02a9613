import { type DestinationStream, type Logger as Pino, pino } from "pino";
import { createLastWarnings, type LoggedWarning } from "./last-warnings.ts";
import { createOutput } from "./output.ts";

export interface Logger extends Pino {
  /** How many lines were dropped because they could not be written. */
  droppedLines(): number;
  /** The last warnings and errors that were logged, oldest first. */
  lastWarnings(): LoggedWarning[];
}

/** Keys of logged objects whose values are secrets or texts of users. */
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
 * The process's log: one JSON object per line, by default on standard output (see `createOutput`). The `detail`, `where` and
 * `internalQuery` of a database error can quote a row. So an `err` is logged with name, code, message, stack and cause only, and
 * without the message if that can quote a row.
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRETS.flatMap((key) => [key, `*.${key}`]), censor: "[redacted]" },
    serializers: { err: describeError },
  };
  const output = createOutput(1, (lines) => {
    log.warn({ lines }, "the log can be written again; lines were dropped");
  });
  const target = destination ?? output;
  const warnings = createLastWarnings();
  const log = Object.assign(
    pino(options, {
      write(line) {
        warnings.keep(line);
        target.write(line);
      },
    }),
    { droppedLines: output.droppedLines, lastWarnings: warnings.read },
  );
  return log;
}

function describeError(err: unknown): unknown {
  if (!(err instanceof Error)) return { message: "a value that is not an Error was thrown" };
  const { name, stack = "", cause } = err;
  const code = "code" in err ? err.code : undefined;
  const isSafe = !canQuote(err, code);
  const message = isSafe ? err.message : "withheld: it may quote data";
  // The stack begins with the message.
  const lines = stack.split("\n").filter((line) => isSafe || line.startsWith("    at "));
  const described = { name, code, message, stack: lines.join("\n") };
  return cause ? { ...described, cause: describeError(cause) } : described;
}

/** SQLSTATE classes whose messages can quote values (data, constraints, `raise`), and Prisma's errors, which contain such messages. */
const canQuote = ({ name }: Error, code: unknown) =>
  /^Prisma|^DriverAdapter/.test(name) || (typeof code === "string" && /^(22|23|P0)/.test(code));
