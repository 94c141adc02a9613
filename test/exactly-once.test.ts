import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectExact, judge } from "./faults/support/checker.ts";
import { terminateBackend } from "./faults/support/faults.ts";
import { startNaiveReader } from "./faults/support/naive-reader.ts";
import { type Postgres, startPostgres } from "./faults/support/postgres.ts";
import type { Delivery, Reader } from "./faults/support/readers.ts";
import { report } from "./faults/support/report.ts";
import { runTrial } from "./faults/support/run-trial.ts";
import type { ServiceProcess } from "./faults/support/service-process.ts";
import { openDatabase } from "./faults/support/trial.ts";
import { startWriters } from "./faults/support/writers.ts";
import { createRandom, type Random, seeds } from "./support/random.ts";

/** The short form of `npm run test:faults`. It prints its seeds; FAULT_SEED repeats one. */
const RECIPIENTS = Array.from({ length: 10 }, (_, i) => `${i + 1}`);

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());

test.each(seeds())(
  "every row reaches every reader once, also through restarts, seed %i",
  async (seed) => {
    await runTrial({
      fault: "killed and restarted",
      seed,
      postgres,
      streams: 20,
      writers: 8,
      minReconnects: 20,
      async harm({ service }, random) {
        await disturb(service, random);
        return [];
      },
    });
  },
  120_000,
);

/** About 12 s. Backends are killed all the time. PostgreSQL crashes after a third of it, the service after two thirds. */
async function disturb(service: ServiceProcess, random: Random): Promise<void> {
  const killBackends = async () => {
    for (let times = 4; times > 0; times--) {
      await delay(random.between(400, 1200));
      await terminateBackend(postgres)(random);
    }
  };
  await killBackends();
  await postgres.restart("immediate");
  await killBackends();
  await service.restart(random.pick(["SIGKILL", "SIGTERM"]));
  await killBackends();
}

test("a reader by `id > last` loses rows, and the checker notices", async () => {
  const [seed = 0] = seeds();
  const { databaseUrl, judge } = await openDatabase({ postgres, name: "naive" });
  const readers = await startNaiveReader({ url: databaseUrl, recipients: RECIPIENTS });
  const random = createRandom(seed);
  const writers = await startWriters({
    url: databaseUrl,
    count: 8,
    recipients: RECIPIENTS,
    random,
  });
  // About a fifth of them are lost.
  await expect.poll(() => writers.committed.size, { timeout: 20_000 }).toBeGreaterThan(400);
  await writers.stop();
  const verdict = await judge({ readers, writers, timeoutMs: 500 });
  report({ fault: "a reader by id > last", seed, verdict });
  expect(verdict.lost).toBeGreaterThan(0);
  expect(verdict).toMatchObject({ repeated: 0, phantoms: 0, misdirected: 0, contradictions: 0 });
}, 30_000);

test("the checker finds every kind of error", async () => {
  const { databaseUrl, query } = await openDatabase({ postgres, name: "wrong" });
  for (const body of ["shown", "shown twice", "not shown", "read", "of another"])
    await query(NOTIFY, [body === "of another" ? "2" : "1", body]);
  await query("update bellwire.notifications set read_at = now() where body = 'read'");
  const reader: Reader = {
    name: "reader 1",
    recipientId: "1",
    connections: 1,
    statuses: new Map(),
    isReadById: new Map([["4", false]]),
  };
  const deliveries = [
    ["1", "shown"],
    ["2", "shown twice"],
    ["2", "shown twice"],
    ["4", "read"],
    ["5", "of another"],
    ["6", "rolled back"],
  ].map(
    ([id = "", body = ""]): Delivery => ({
      ...{ reader: "reader 1", recipientId: "1", id, title: null, body, at: 0 },
      ...{ connection: 1, resumedFrom: undefined, cursor: undefined },
    }),
  );
  const verdict = await judge({
    postgresUrl: databaseUrl,
    readers: {
      readers: [reader],
      deliveries,
      resets: [{ reader: "reader 1", reason: "too_many", at: 0 }],
    },
    writers: { committed: new Map([["vanished", 0]]), rolledBack: new Set(["shown"]) },
  });
  expect(verdict).toMatchObject({
    ...{ sent: 5, delivered: 6, lost: 1, repeated: 1, phantoms: 1, misdirected: 1 },
    ...{ stale: 1, resets: 1, contradictions: 2, reconnects: 0 },
  });
  expect(() => expectExact(verdict)).toThrow();
  const nothing = { ...verdict, lost: 0, repeated: 0, phantoms: 0, misdirected: 0, evidence: [] };
  const silent = { ...nothing, stale: 0, resets: 0, contradictions: 0, reconnects: 1 };
  expectExact(silent);
  expect(() => expectExact({ ...silent, delivered: 0 })).toThrow();
  expect(() => expectExact({ ...silent, reconnects: 0 })).toThrow();
});

const NOTIFY = "select bellwire.notify($1, 'test', body => $2)";
