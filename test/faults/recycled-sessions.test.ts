import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { startLoop } from "./support/loop.ts";
import type { Postgres } from "./support/postgres.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { slowestMs } from "./support/silence.ts";
import { type Database, openDatabase, openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const FAULT_MS = 60_000;
const SWEEP_MS = 2000;
const RECIPIENTS = ["1", "2", "3", "4", "5"];

const [seed = 0] = seeds();

test("sessions that PostgreSQL closes after 2 s idle delay no row by more than a sweep", async () => {
  const database = await openDatabase();
  const { postgres, databaseUrl } = database;
  await postgres.query("create role app login password 'app' in role bellwire_service");
  await postgres.query("alter role app set idle_session_timeout = '2s'");
  const login = new URL(databaseUrl);
  [login.username, login.password] = ["app", "app"];
  const service = await startServiceProcess({ databaseUrl: login.href });
  await service.waitUntilReady();
  const work = await startWork(database, service);
  const { pids, close } = watchListenerPids(postgres);

  await delay(FAULT_MS);
  await close();
  expect(pids.size).toBeGreaterThan(FAULT_MS / 4000);
  await postgres.query("alter role app reset idle_session_timeout");
  await work.end("idle_session_timeout");
  console.log(`  ${pids.size} LISTEN sessions`);
  expectAlternating(service);
});

test("sessions that are closed every 3 s delay no row by more than a sweep", async () => {
  const trial = await openTrial();
  const { postgres, service } = trial;
  const work = await startWork(trial, service);
  const { pids, close } = watchListenerPids(postgres);

  for (const endsAt = performance.now() + FAULT_MS; performance.now() < endsAt; ) {
    const ended = await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name in ('bellwire', 'bellwire listener')",
    );
    expect(ended.length).toBeGreaterThan(0);
    await delay(3000);
  }
  await close();
  expect(pids.size).toBeGreaterThan(10);
  await work.end("sessions ended every 3 s");
  console.log(`  ${pids.size} LISTEN sessions`);
  expectAlternating(service);
});

/** About 20 rows a second, and streams that stay open. */
async function startWork({ databaseUrl, judge }: Database, service: ServiceProcess) {
  const random = createRandom(seed);
  const pid = service.pid();
  const readers = await openReaders(service, {
    streams: 2 * RECIPIENTS.length,
    recipients: RECIPIENTS,
    random: random.fork(),
  });
  const writers = await startWriters({
    url: databaseUrl,
    count: 2,
    recipients: RECIPIENTS,
    random: random.fork(),
    pauseMs: [60, 100],
  });

  /** The streams stayed open, and no row was late. */
  async function end(fault: string): Promise<void> {
    const faultEndedAt = performance.now();
    await service.waitUntilReady(20_000);
    await writers.stop();
    const verdict = await judge({ readers, writers, faultEndedAt, timeoutMs: 30_000 });
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

/** All LISTEN backends, looked up every 200 ms. */
function watchListenerPids(postgres: Postgres) {
  const pids = new Set<number>();
  const { close } = startLoop(async () => {
    for (const pid of await postgres.backendPids("bellwire listener")) pids.add(pid);
    await delay(200);
  });
  return { pids, close };
}

/** The log reports each begin and each end of LISTEN once. */
function expectAlternating(service: ServiceProcess): void {
  const said = service.logs().map(({ msg }) => msg);
  const changes = said.filter((msg) => msg === "listening" || msg === "not listening");
  const expected = changes.map((_, i) => (i % 2 === 0 ? "listening" : "not listening"));
  expect(changes).toEqual(expected);
  expect(changes.at(-1)).toBe("listening");
}
