import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { settle } from "./support/settle.ts";
import { openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const STREAMS = 50;
const RECIPIENTS = Array.from({ length: 25 }, (_, i) => `${i + 1}`);
const WRITING_MS = 30_000;

test.each(seeds())(
  "streams that are closed because of their age lose and repeat nothing, seed %i",
  async (seed) => {
    const random = createRandom(seed);
    const { databaseUrl, service, judge } = await openTrial({
      env: { MAX_STREAM_SECONDS: "5", REPLAY_LIMIT: "100000" },
    });
    const readers = await openReaders(service, {
      streams: STREAMS,
      recipients: RECIPIENTS,
      random: random.fork(),
    });
    const writers = await startWriters({
      url: databaseUrl,
      recipients: RECIPIENTS,
      random: random.fork(),
    });
    await delay(WRITING_MS);
    await writers.stop();

    await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 60_000 });
    const metrics = await service.metrics(); // before the readers close their streams
    const verdict = await judge({ readers, writers, timeoutMs: 60_000 });
    report({ fault: "aged streams", seed, verdict });
    // The service closes each stream after 6 s at the latest. Only the time of writing is certain.
    const reconnects = STREAMS * (WRITING_MS / 7000 - 1);
    expectExact(verdict, { minReconnects: reconnects });
    expect(metrics("bellwire_stream_closes_total", { reason: "max_age" })).toBeGreaterThan(
      reconnects,
    );
    expect(metrics("bellwire_stream_closes_total")).toBe(
      metrics("bellwire_stream_closes_total", { reason: "max_age" }),
    );
    expect(verdict.longestSilenceMs).toBeLessThan(5000);
    expect(service.exits).toEqual([]);
  },
);
