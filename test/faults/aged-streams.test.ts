import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { startWriters } from "./support/writers.ts";

const STREAMS = 50;
const RECIPIENTS = Array.from({ length: 25 }, (_, i) => `${i + 1}`);
const WRITING_MS = 30_000;

test.each(seeds())(
  "streams that are ended for their age lose and repeat nothing, seed %i",
  async (seed) => {
    const random = createRandom(seed);
    const postgres = await startPostgres();
    const databaseUrl = await createMigrated(postgres);
    const service = await startServiceProcess({
      databaseUrl,
      env: { MAX_STREAM_SECONDS: "5", REPLAY_LIMIT: "100000" },
    });
    await service.waitUntilReady();
    const readers = await startReaders({
      streams: STREAMS,
      recipients: RECIPIENTS,
      addresses: () => service.url,
      token: service.token,
      random: random.fork(),
    });
    await readers.ready();
    const writers = await startWriters({
      url: databaseUrl,
      recipients: RECIPIENTS,
      random: random.fork(),
    });
    await delay(WRITING_MS);
    await writers.stop();

    await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 60_000 });
    const metrics = await service.metrics();
    await readers.close();
    const verdict = await judge({ postgresUrl: databaseUrl, readers, writers });
    report({ fault: "aged streams", seed, verdict });
    // None is older than 6 s, and each was ended by the service; only the writing is sure to take this long.
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
