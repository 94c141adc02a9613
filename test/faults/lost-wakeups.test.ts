import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { startForwarder } from "./support/forwarder.ts";
import type { Postgres } from "./support/postgres.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { slowestMs } from "./support/silence.ts";
import { openDatabase } from "./support/trial.ts";

const SWEEP_MS = 2000;
/** Longer than any test. */
const NEVER_MS = 600_000;
const RECIPIENTS = ["1", "2", "3", "4", "5"];

test("without any NOTIFY every row arrives with the sweep, and one read serves all streams", async () => {
  const { databaseUrl, query } = await openDatabase();
  await query(
    "create or replace function bellwire.wake_listeners() returns void language sql as ''",
  );
  const { service, readers } = await startRead({ databaseUrl, sweepMs: SWEEP_MS });
  const readsBefore = (await service.metrics())("bellwire_reads_total");

  const committed = await insert(databaseUrl, { rows: 1000, pauseMs: 8 });
  expect(await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 })).toBe(true);
  const metrics = await service.metrics();
  expect(metrics("bellwire_wakeups_total")).toBe(0);
  // Soon after its start the service reads more often than once a sweep, but never once per row or stream.
  expect(metrics("bellwire_reads_total") - readsBefore).toBeLessThan(committed.size / 10);
  expect(slowestMs(readers.deliveries, committed)).toBeLessThan(SWEEP_MS + 1000);
  // The listener still hears its probe, so the service is ready.
  expect((await service.readiness()).status).toBe(200);
  const writers = { committed, rolledBack: new Set<string>() };
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers });
  report({ fault: "NOTIFY never sent", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

test("while LISTEN is refused, rows arrive with the sweep", async () => {
  const { postgres, databaseUrl, urlAt } = await openDatabase();
  const forwarder = await startForwarder(postgres.port);
  const { service, readers } = await startRead({
    databaseUrl,
    directUrl: urlAt(forwarder.port),
    sweepMs: SWEEP_MS,
  });
  forwarder.refuse();
  await deafen(postgres, service);
  const heardBefore = (await service.metrics())("bellwire_wakeups_total");

  const committed = await insert(databaseUrl, { rows: 500, pauseMs: 8 });
  expect(await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 })).toBe(true);
  expect(slowestMs(readers.deliveries, committed)).toBeLessThan(SWEEP_MS + 1000);
  expect((await service.metrics())("bellwire_wakeups_total")).toBe(heardBefore);
  expect((await service.readiness()).status).toBe(503);

  const faultEndedAt = performance.now();
  forwarder.accept();
  await expectListening(service);
  const writers = { committed, rolledBack: new Set<string>() };
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers, faultEndedAt });
  report({ fault: "LISTEN refused", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

test("while LISTEN is refused soon after the start, rows do not wait for the sweep", async () => {
  const { postgres, databaseUrl, urlAt } = await openDatabase();
  const forwarder = await startForwarder(postgres.port);
  const { service, readers } = await startRead({
    databaseUrl,
    directUrl: urlAt(forwarder.port),
    sweepMs: NEVER_MS,
  });
  forwarder.refuse();
  await deafen(postgres, service);

  // For a while after its start the service also reads without NOTIFY, less and less often.
  const committed = await insert(databaseUrl, { rows: 1000, pauseMs: 2 });
  await expect
    .poll(() => readers.deliveries.length, { timeout: 15_000 })
    .toBeGreaterThanOrEqual(2 * committed.size);
  expect((await service.readiness()).status).toBe(503);

  const faultEndedAt = performance.now();
  forwarder.accept();
  await expectListening(service);
  expect(await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 })).toBe(true);
  const writers = { committed, rolledBack: new Set<string>() };
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers, faultEndedAt });
  report({ fault: "LISTEN refused, no sweep", verdict });
  expectExact(verdict, { minReconnects: 0 });
  expect(verdict.healMs).toBeLessThan(11_000);
});

/** The service, and two streams per recipient, which nothing cuts. */
async function startRead(options: { databaseUrl: string; directUrl?: string; sweepMs: number }) {
  const { sweepMs, ...urls } = options;
  const service = await startServiceProcess({
    ...urls,
    // To suspend wake-ups would send one.
    env: { SWEEP_MS: `${sweepMs}`, WAKEUPS_PER_SECOND_BUSY: "0" },
  });
  await service.waitUntilReady();
  const readers = await openReaders(service, {
    streams: 2 * RECIPIENTS.length,
    recipients: RECIPIENTS,
    random: createRandom(1),
  });
  return { service, readers };
}

/** Commits rows one by one. Returns the time of each commit, by the body of its row. */
async function insert(url: string, { rows, pauseMs }: { rows: number; pauseMs: number }) {
  const client = await openClient(url);
  const committed = new Map<string, number>();
  for (let i = 0; i < rows; i++) {
    const recipientId = RECIPIENTS[i % RECIPIENTS.length];
    await client.query("select bellwire.notify($1, 'test', body => $2)", [recipientId, `${i}`]);
    committed.set(`${i}`, performance.now());
    await delay(pauseMs);
  }
  return committed;
}

async function deafen(postgres: Postgres, service: ServiceProcess) {
  const pid = await postgres.backendPid("bellwire listener");
  await postgres.query("select pg_terminate_backend($1)", [pid]);
  await expect.poll(async () => (await service.readiness()).status, { timeout: 20_000 }).toBe(503);
  expect((await service.metrics())("bellwire_listener_up")).toBe(0);
}

/** The service listens again, and the log reports the end and the new beginning once. */
async function expectListening(service: ServiceProcess) {
  await expect.poll(async () => (await service.readiness()).status, { timeout: 20_000 }).toBe(200);
  expect((await service.metrics())("bellwire_listener_up")).toBe(1);
  const said = service.logs().map(({ msg }) => msg);
  const changes = said.filter((msg) => msg === "listening" || msg === "not listening");
  expect(changes).toEqual(["listening", "not listening", "listening"]);
}
