import { createBytesInFlight } from "../../src/db/bytes-in-flight.ts";
import { createKnownCounts } from "../../src/db/known-counts.ts";
import { createReplays, type ReplaysOptions } from "../../src/db/replays.ts";

/** Replays with the service's settings, as far as a test does not give its own, and with room for all pages. */
export const openReplays = (
  options: Pick<ReplaysOptions, "pool" | "knownEpoch"> & Partial<ReplaysOptions>,
) =>
  createReplays({
    maxConcurrent: 2,
    replayLimit: 1000,
    maxEventBytes: 60_000,
    knownCounts: createKnownCounts(),
    bytesInFlight: createBytesInFlight(100_000_000),
    onRead() {},
    ...options,
  });
