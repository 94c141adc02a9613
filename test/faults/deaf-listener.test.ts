import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { startForwarder } from "./support/forwarder.ts";
import { startLoop } from "./support/loop.ts";
import { openReaders, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { type Database, openDatabase, openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const RECIPIENTS = ["1", "2", "3", "4", "5"];
const NOTIFY_ALONE = { SWEEP_MS: "600000" };
/** A probe every 10 s, 5 s to hear it, and the time to reconnect. */
const MENDED_MS = 20_000;

/** Soon after its start the service also reads without NOTIFY, every twentieth of its age: here up to half a minute. */
const UNHEARD_MS = 2500;

const SILENT = "the LISTEN connection has gone silent";
const NOT_LISTENING = "the LISTEN connection cannot be made or was lost";
const UNSENT =
  "the LISTEN connection cannot be probed: DATABASE_URL does not answer, or leads to a standby";
const NOT_READING = "the database does not answer";

test("a LISTEN backend that hangs is replaced within 20 s", async () => {
  const trial = await openTrial({ env: NOTIFY_ALONE });
  const { postgres, service } = trial;
  const traffic = await startTraffic(trial, service);
  const watch = startWatch(service);

  const hanging = await postgres.backendPid("bellwire listener");
  postgres.signalBackend(hanging, "SIGSTOP");
  const healMs = await traffic.mended(MENDED_MS);

  const { longestSilenceMs } = await traffic.judge("LISTEN backend hangs", healMs);
  expect(longestSilenceMs).toBeLessThan(UNHEARD_MS);
  expect(await postgres.backendPids("bellwire listener")).toContain(hanging);
  await expect(watch.close()).resolves.toMatchObject({ problems: [SILENT], down: ["listener"] });
  expect(stateLines(service)).toEqual(["listening", SILENT, "listening"]);
});

test("a LISTEN connection that the network dropped silently is replaced within 20 s", async () => {
  const database = await openDatabase();
  const { postgres, databaseUrl, urlAt } = database;
  const forgetful = await startForwarder(postgres.port);
  const forwarder = await startForwarder(forgetful.port);
  const directUrl = urlAt(forwarder.port);
  const service = await startServiceProcess({ databaseUrl, directUrl, env: NOTIFY_ALONE });
  await service.waitUntilReady();
  const traffic = await startTraffic(database, service);
  const watch = startWatch(service);

  // Like a NAT after a long silence: open connections lead nowhere, neither end is told, and new ones work.
  forgetful.swallow();
  forwarder.pointTo(postgres.port);
  const healMs = await traffic.mended(MENDED_MS);

  const { longestSilenceMs } = await traffic.judge("LISTEN connection forgotten", healMs);
  expect(longestSilenceMs).toBeLessThan(UNHEARD_MS);
  await expect(watch.close()).resolves.toMatchObject({ problems: [SILENT], down: ["listener"] });
  expect(stateLines(service)).toEqual(["listening", SILENT, "listening"]);
});

test("a network that drops everything is noticed within 20 s, and so is its return", async () => {
  const database = await openDatabase();
  const forwarder = await startForwarder(database.postgres.port);
  const service = await startServiceProcess({ databaseUrl: database.urlAt(forwarder.port) });
  await service.waitUntilReady();
  const traffic = await startTraffic(database, service);

  forwarder.swallow();
  await expect.poll(service.readiness, { timeout: MENDED_MS }).toMatchObject({ status: 503 });
  // The feed reads every 2 s and the listener is probed every 10 s. Each waits 10 s for an answer.
  await expect
    .poll(service.readiness, { timeout: MENDED_MS })
    .toMatchObject({ status: 503, body: { problems: [NOT_LISTENING, NOT_READING] } });
  const metrics = await service.metrics();
  expect(metrics("bellwire_listener_up")).toBe(0);
  expect(metrics("bellwire_feed_up")).toBe(0);
  forwarder.heal();
  const healMs = await traffic.mended(MENDED_MS);
  await service.waitUntilReady();

  await traffic.judge("network drops everything", healMs);
  const lines = [UNSENT, NOT_READING, "listening", "listening", "reading again"];
  expect(stateLines(service).toSorted()).toEqual(lines.toSorted());
});

test("pool backends that hang are replaced, and rows arrive within 15 s", async () => {
  const trial = await openTrial();
  const { postgres, service } = trial;
  const traffic = await startTraffic(trial, service);

  for (const pid of await postgres.backendPids("bellwire")) postgres.signalBackend(pid, "SIGSTOP");
  await expect.poll(() => stateLines(service), { timeout: 15_000 }).toContain(NOT_READING);
  await expect.poll(() => stateLines(service), { timeout: 5000 }).toContain("reading again");

  const { longestSilenceMs } = await traffic.judge("pool backends hang");
  expect(longestSilenceMs).toBeGreaterThan(5000);
  expect(longestSilenceMs).toBeLessThan(15_000);
});

test("a client that connects while pool backends hang waits for one of them, not for each in turn", async () => {
  const { postgres, service } = await openTrial({ env: { MAX_STREAMS_PER_RECIPIENT: "1000" } });
  const { url, token } = service;
  const options = { recipients: RECIPIENTS, addresses: () => url, token };
  // Several crowds until the pools have grown: the replays of one share queries, so few connections may be enough.
  let backends: number[] = [];
  for (let crowds = 1; backends.length <= 4; crowds++) {
    expect(crowds).toBeLessThan(20);
    const crowd = await startReaders({ ...options, streams: 60, random: createRandom(crowds) });
    await crowd.ready();
    backends = await postgres.backendPids("bellwire");
  }

  for (const pid of backends) postgres.signalBackend(pid, "SIGSTOP");
  const late = await startReaders({ ...options, streams: 1, random: createRandom(0) });
  await late.ready(20_000);
});

/** Open streams, and writers that write for them all the time. */
async function startTraffic({ databaseUrl, judge }: Database, service: ServiceProcess) {
  const [seed = 0] = seeds();
  const random = createRandom(seed);
  const readers = await openReaders(service, {
    streams: 10,
    recipients: RECIPIENTS,
    random: random.fork(),
  });
  const writers = await startWriters({
    url: databaseUrl,
    count: 4,
    recipients: RECIPIENTS,
    random: random.fork(),
    pauseMs: [20, 100],
  });
  await readers.until(() => readers.deliveries.length > 20, 10_000);

  return {
    /** Resolves when the service listens again and rows arrive, with the time that this took from now. */
    async mended(timeoutMs: number): Promise<number> {
      const since = performance.now();
      await readers.until(() => stateLines(service).slice(1).includes("listening"), timeoutMs);
      const listeningAt = performance.now();
      const timeLeftMs = timeoutMs - (listeningAt - since);
      await readers.until(() => (readers.lastDeliveryAt() ?? 0) > listeningAt, timeLeftMs);
      return performance.now() - since;
    },
    /** After every fault: each row has arrived once, on the streams that were open before. */
    async judge(fault: string, healMs?: number) {
      await writers.stop();
      const verdict = await judge({ readers, writers, timeoutMs: 30_000 });
      report({ fault, seed, verdict: { ...verdict, healMs } });
      expectExact(verdict, { minReconnects: 0 });
      expect(verdict.reconnects).toBe(0);
      return verdict;
    },
  };
}

/** Asks `/readyz` and `/metrics` all the time, to see a short problem as well. */
function startWatch(service: ServiceProcess) {
  const problems = new Set<string>();
  const down = new Set<string>();
  const readiness = startLoop(async () => {
    for (const problem of (await service.readiness()).body.problems) problems.add(problem);
    await delay(20);
  });
  const metrics = startLoop(async () => {
    const value = await service.metrics();
    for (const part of ["listener", "feed"]) if (value(`bellwire_${part}_up`) === 0) down.add(part);
    await delay(20);
  });
  return {
    async close() {
      await Promise.all([readiness.close(), metrics.close()]);
      return { problems: [...problems], down: [...down] };
    },
  };
}

/** What the log says about listening and reading, in order. A problem stands with its sentence. */
function stateLines(service: ServiceProcess) {
  return service
    .logs()
    .filter(({ msg }) => /^(not )?listening$|^cannot read|^reading again$/.test(msg))
    .map(({ msg, problem }) => problem ?? msg);
}
