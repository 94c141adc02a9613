import type { Logger } from "../logger.ts";

/** Anyone can cause refusals, with an origin of their choice. */
const MAX_REASONS = 20;
const WINDOW_MS = 60_000;

/** Tells the operator why a request was refused. */
export type ReportRefusal = (reason: string, requestId: string) => void;

/** Logs each reason at most once a minute, and at most 20 reasons a minute. */
export function createReportRefusal(log: Logger): ReportRefusal {
  const reported = new Set<string>();
  let startedAt = performance.now();
  return (reason, requestId) => {
    const now = performance.now();
    if (now - startedAt > WINDOW_MS) {
      reported.clear();
      startedAt = now;
    }
    if (reported.has(reason) || reported.size === MAX_REASONS) return;
    reported.add(reason);
    log.warn({ requestId, reason }, "refused; the same reason is logged once a minute");
  };
}
