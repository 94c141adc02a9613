import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import {
  freezeListener,
  restartPostgres,
  restartService,
  startFaults,
  terminateBackend,
} from "./support/faults.ts";
import { startNaiveReader } from "./support/naive-reader.ts";
import { report } from "./support/report.ts";
import { runTrial } from "./support/run-trial.ts";
import { openDatabase } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const FAULT_MS = Number(process.env.FAULT_SECONDS ?? 120) * 1000;
const RECIPIENTS = Array.from({ length: 25 }, (_, i) => `${i + 1}`);

test.each(seeds())(
  "random faults of sessions, LISTEN, PostgreSQL and the service lose and repeat nothing, seed %i",
  async (seed) => {
    await runTrial({
      fault: "everything at once",
      seed,
      minReconnects: 200,
      async harm({ postgres, service }, random) {
        const faults = startFaults({
          faults: {
            "terminate a backend": terminateBackend(postgres),
            "freeze the LISTEN backend": freezeListener(postgres, [3000, 15_000]),
            "restart PostgreSQL": restartPostgres(postgres),
            "restart the service": restartService(service),
          },
          random,
          pauseMs: [2000, 6000],
        });
        await delay(FAULT_MS);
        await faults.close();
        postgres.thaw();
        return faults.done;
      },
    });
  },
);

test("the checker finds the rows that a reader by `id > last` loses", async () => {
  const [seed = 0] = seeds();
  const { databaseUrl, judge } = await openDatabase();
  const readers = await startNaiveReader({ url: databaseUrl, recipients: RECIPIENTS });
  const writers = await startWriters({
    url: databaseUrl,
    recipients: RECIPIENTS,
    random: createRandom(seed),
  });
  await delay(20_000);
  await writers.stop();
  const verdict = await judge({ readers, writers, timeoutMs: 1000 });
  report({ fault: "a reader by id > last", seed, verdict });
  expect(verdict.lost).toBeGreaterThan(0);
  expect(verdict).toMatchObject({ repeated: 0, phantoms: 0, misdirected: 0, contradictions: 0 });
});
