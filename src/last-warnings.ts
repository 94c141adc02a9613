/** A warning or error, as it was logged: without secrets, and without a message that can quote a row. */
export interface LoggedWarning {
  time: string;
  level: "warn" | "error" | "fatal";
  message: string;
  /** Why, in a sentence. */
  detail?: string;
  /** Of the error that was logged with it. */
  error?: string;
  code?: string;
  /** Names the response. */
  requestId?: string;
}

const KEPT = 20;
const LEVELS: Record<string, LoggedWarning["level"]> = { 40: "warn", 50: "error", 60: "fatal" };

/** Keeps the last warnings and errors among the lines of the log. It reads them only when asked, because most lines are not wanted. */
export function createLastWarnings() {
  const lines: string[] = [];
  return {
    keep(line: string): void {
      if (!/^\{"level":[456]0,/.test(line)) return;
      lines.push(line);
      if (lines.length > KEPT) lines.shift();
    },
    read: (): LoggedWarning[] => lines.map(toWarning),
  };
}

function toWarning(line: string): LoggedWarning {
  const { level, time, msg, err, requestId, problem, reason } = JSON.parse(line);
  const detail = problem ?? reason;
  return {
    time,
    level: LEVELS[level] ?? "error",
    message: msg ?? "",
    ...(detail && { detail }),
    ...(err?.message && { error: err.message }),
    ...(err?.code && { code: String(err.code) }),
    ...(requestId && { requestId }),
  };
}
