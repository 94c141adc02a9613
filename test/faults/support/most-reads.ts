import type { LogLine } from "./service-process.ts";

/** Reads take at most this part of one processor's time, but a tick is the longest rest. See `createPace`. */
const SHARE = 0.2;

/** The most reads that a feed makes in this time, by its log at LOG_LEVEL=debug: as many as if each took as long as the shortest. */
export function mostReads(
  logs: readonly LogLine[],
  { ms, tickMs }: { ms: number; tickMs: number },
) {
  const shortestMs = Math.min(
    ...logs.flatMap((line) => (line.msg === "read" ? Number(line.ms) : [])),
  );
  return { shortestMs, mostReads: ms * (SHARE / shortestMs + 1 / tickMs) + BURST_MS / shortestMs };
}

/** After a quiet time reads may take this long without a rest. */
const BURST_MS = 50;
