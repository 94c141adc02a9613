import { pino } from "pino";

/**
 * A line of the log for people: `10:14:05.123Z info  started  version=0.1.0`, the stack of an error below it. Any other line
 * stays as it is.
 */
export function readable(line: string): string {
  const entry = parse(line);
  if (typeof entry?.msg !== "string") return line;
  const { time, level, msg, err, ...fields } = entry;
  const head = [String(time).slice(11), (pino.levels.labels[level] ?? "").padEnd(5), msg];
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${show(value)}`);
  return [[head.join(" "), ...pairs].join("  "), ...stacks(err)].join("\n");
}

// biome-ignore lint/suspicious/noExplicitAny: whatever a line holds
function parse(line: string): any {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** A first migrate names 65 files. */
function show(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

type LoggedError = { name: string; message: string; stack?: string; cause?: LoggedError };

/** Of the error and of its causes. The message of a MigrationError says everything. */
function stacks(err?: LoggedError): string[] {
  if (!err) return [];
  const indent = (text: string) => text.replace(/^/gm, "    ");
  if (err.name === "MigrationError") return [indent(err.message)];
  return [indent(err.stack || err.message), ...stacks(err.cause)];
}
