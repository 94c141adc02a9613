import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { type Delivery, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { startWriters } from "./support/writers.ts";

const FAULT_MS = 60_000;
const SWEEP_MS = 2000;
const RECIPIENTS = ["1", "2", "3", "4", "5"];

const [seed = 0] = seeds();

test("sessions that the server ends when they are idle for 2 s delay nothing by more than a sweep", async () => {
  const random = createRandom(seed);
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  await postgres.query("create role app login password 'app' in role bellwire_service");
  await postgres.query("alter role app set idle_session_timeout = '2s'");
  const login = new URL(databaseUrl);
  [login.username, login.password] = ["app", "app"];
  const service = await startServiceProcess({ databaseUrl: login.href });
  const work = await startWork({ databaseUrl, service, random });
  const watched = watchListenerPids(postgres);

  await delay(FAULT_MS);
  const pids = await watched.close();
  expect(pids.size).toBeGreaterThan(FAULT_MS / 4000);
  await postgres.query("alter role app reset idle_session_timeout");
  await work.end("idle_session_timeout");
  console.log(`  ${pids.size} LISTEN sessions`);
  expectAlternating(service);
});

test("sessions that are ended every 3 s delay nothing by more than a sweep", async () => {
  const random = createRandom(seed);
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({ databaseUrl });
  const work = await startWork({ databaseUrl, service, random });
  const watched = watchListenerPids(postgres);

  for (const endsAt = performance.now() + FAULT_MS; performance.now() < endsAt; ) {
    const ended = await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name in ('bellwire', 'bellwire listener')",
    );
    expect(ended.length).toBeGreaterThan(0);
    await delay(3000);
  }
  const pids = await watched.close();
  expect(pids.size).toBeGreaterThan(10);
  await work.end("sessions ended every 3 s");
  console.log(`  ${pids.size} LISTEN sessions`);
  expectAlternating(service);
});

interface WorkOptions {
  databaseUrl: string;
  service: ServiceProcess;
  random: Random;
}

/** Some 20 rows a second, and streams that stay open all along. */
async function startWork({ databaseUrl, service, random }: WorkOptions) {
  await service.waitUntilReady();
  const pid = service.pid();
  const readers = await startReaders({
    streams: 2 * RECIPIENTS.length,
    recipients: RECIPIENTS,
    addresses: () => service.url,
    token: service.token,
    random: random.fork(),
  });
  await readers.ready();
  const writers = await startWriters({
    url: databaseUrl,
    count: 2,
    recipients: RECIPIENTS,
    random: random.fork(),
    pauseMs: [60, 100],
  });

  /** Checks that nothing came of it. */
  async function end(fault: string): Promise<void> {
    const faultEndedAt = performance.now();
    await service.waitUntilReady(20_000);
    await writers.stop();
    await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 });
    await readers.close();
    const verdict = await judge({ postgresUrl: databaseUrl, readers, writers, faultEndedAt });
    report({ fault, seed, verdict });
    console.log(
      `  slowest ${Math.round(slowestMs(readers.deliveries, writers.committed))} ms after its commit`,
    );
    expectExact(verdict, { minReconnects: 0 });
    expect(slowestMs(readers.deliveries, writers.committed)).toBeLessThan(SWEEP_MS + 1000);
    expect(service.exits).toEqual([]);
    expect(service.pid()).toBe(pid);
  }
  return { end };
}

/** From a commit to the moment when the last of its readers had it. */
function slowestMs(deliveries: readonly Delivery[], committed: ReadonlyMap<string, number>) {
  return Math.max(...deliveries.map(({ body, at }) => at - (committed.get(body ?? "") ?? at)));
}

/** Every LISTEN backend there was, seen every 200 ms. */
function watchListenerPids(postgres: Postgres) {
  const pids = new Set<number>();
  let isClosed = false;
  async function run() {
    while (!isClosed) {
      for (const pid of await postgres.backendPids("bellwire listener")) pids.add(pid);
      await delay(200);
    }
  }
  const running = run();
  async function close(): Promise<ReadonlySet<number>> {
    isClosed = true;
    await running;
    return pids;
  }
  onTestFinished(async () => void (await close()));
  return { close };
}

/** Each end of LISTEN was told, and each beginning, and neither twice. */
function expectAlternating(service: ServiceProcess): void {
  const said = service.logs().map(({ msg }) => msg);
  const changes = said.filter((msg) => msg === "listening" || msg === "not listening");
  const expected = changes.map((_, i) => (i % 2 === 0 ? "listening" : "not listening"));
  expect(changes).toEqual(expected);
  expect(changes.at(-1)).toBe("listening");
}
