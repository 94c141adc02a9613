import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { judge } from "./support/checker.ts";
import {
  freezeListener,
  restartPostgres,
  restartService,
  startFaults,
  terminateBackend,
} from "./support/faults.ts";
import { startNaiveReader } from "./support/naive-reader.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { report } from "./support/report.ts";
import { settle } from "./support/settle.ts";
import { runTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const FAULT_MS = Number(process.env.FAULT_SECONDS ?? 120) * 1000;
const RECIPIENTS = Array.from({ length: 25 }, (_, i) => `${i + 1}`);

test.each(seeds())("nothing is lost, repeated or made up, seed %i", async (seed) => {
  const postgres = await startPostgres();
  await runTrial({
    fault: "everything at once",
    seed,
    postgres,
    minReconnects: 200,
    async harm([service], random) {
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
});

test("the checker finds what a reader by id loses", async () => {
  const [seed = 0] = seeds();
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const readers = await startNaiveReader({ url: databaseUrl, recipients: RECIPIENTS });
  const writers = await startWriters({
    url: databaseUrl,
    recipients: RECIPIENTS,
    random: createRandom(seed),
  });
  await delay(20_000);
  await writers.stop();
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 1000 });
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers });
  report({ fault: "a reader by id > last", seed, verdict });
  expect(verdict.lost).toBeGreaterThan(0);
  expect(verdict).toMatchObject({ repeated: 0, phantoms: 0, misdirected: 0, contradictions: 0 });
});
