import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { createRandom } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { startForwarder } from "./support/forwarder.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { type Delivery, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const SWEEP_MS = 2000;
/** No sweep comes within a test. */
const NEVER_MS = 600_000;
const RECIPIENTS = ["1", "2", "3", "4", "5"];

test("without a single wake-up every row arrives by the sweep, one read for all and many", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  await postgres.query(
    "create or replace function bellwire.wake_listeners() returns void language sql as ''",
    [],
    "bellwire",
  );
  const { service, readers } = await startRead({ databaseUrl, sweepMs: SWEEP_MS });
  const readsBefore = (await service.metrics())("bellwire_reads_total");

  const committed = await insert(databaseUrl, { rows: 1000, pauseMs: 8 });
  expect(await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 })).toBe(true);
  const metrics = await service.metrics();
  expect(metrics("bellwire_wakeups_total")).toBe(0);
  // Soon after the start it looks oftener than once a sweep; but never once for each row or stream.
  expect(metrics("bellwire_reads_total") - readsBefore).toBeLessThan(committed.size / 10);
  expect(slowestMs(readers.deliveries, committed)).toBeLessThan(SWEEP_MS + 1000);
  // The probe is heard, so the listener is not to blame.
  expect((await service.readiness()).status).toBe(200);
  const writers = { committed, rolledBack: new Set<string>() };
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers });
  report({ fault: "NOTIFY never sent", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

test("while LISTEN is refused, rows arrive by the sweep", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const forwarder = await startForwarder(postgres.port);
  const { service, readers } = await startRead({
    databaseUrl,
    directUrl: through(forwarder.port, databaseUrl),
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

test("while LISTEN is refused soon after the start, rows do not even wait for the sweep", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const forwarder = await startForwarder(postgres.port);
  const { service, readers } = await startRead({
    databaseUrl,
    directUrl: through(forwarder.port, databaseUrl),
    sweepMs: NEVER_MS,
  });
  forwarder.refuse();
  await deafen(postgres, service);

  // Nobody tells, but until a while after the start rows may come unannounced: so it looks, less and less often.
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

/** The service, and two streams of each recipient that nothing cuts. */
async function startRead(options: { databaseUrl: string; directUrl?: string; sweepMs: number }) {
  const { sweepMs, ...urls } = options;
  const service = await startServiceProcess({
    ...urls,
    // Whoever suspends wake-ups sends one.
    env: { SWEEP_MS: `${sweepMs}`, WAKEUPS_PER_SECOND_BUSY: "0" },
  });
  await service.waitUntilReady();
  const readers = await startReaders({
    streams: 2 * RECIPIENTS.length,
    recipients: RECIPIENTS,
    addresses: () => service.url,
    token: service.token,
    random: createRandom(1),
  });
  await readers.ready();
  return { service, readers };
}

/** Commits rows one by one; when each was, by its body. */
async function insert(url: string, { rows, pauseMs }: { rows: number; pauseMs: number }) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
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

/** And that it said so, and that it had stopped, once each. */
async function expectListening(service: ServiceProcess) {
  await expect.poll(async () => (await service.readiness()).status, { timeout: 20_000 }).toBe(200);
  expect((await service.metrics())("bellwire_listener_up")).toBe(1);
  const said = service.logs().map(({ msg }) => msg);
  const changes = said.filter((msg) => msg === "listening" || msg === "not listening");
  expect(changes).toEqual(["listening", "not listening", "listening"]);
}

/** From a commit to the moment when the last of its readers had it. */
function slowestMs(deliveries: readonly Delivery[], committed: ReadonlyMap<string, number>) {
  return Math.max(...deliveries.map(({ body, at }) => at - (committed.get(body ?? "") ?? at)));
}

function through(port: number, databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.port = `${port}`;
  return url.href;
}
