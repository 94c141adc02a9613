import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { closeAfterTest } from "./support/close-after-test.ts";
import { startForwarder } from "./support/forwarder.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { startWriters } from "./support/writers.ts";

const RECIPIENTS = ["1", "2", "3", "4", "5"];
const NOTIFY_ALONE = { SWEEP_MS: "600000" };
/** A probe every 10 s, 5 s for it to be heard, and the way back. */
const MENDED_MS = 20_000;

/** Soon after its start a service looks by itself, every twentieth of the time since: here for half a minute at the most. */
const UNHEARD_MS = 2500;

const SILENT = "the LISTEN connection has gone silent";
const NOT_LISTENING = "the LISTEN connection cannot be made or was lost";
const UNSENT =
  "the LISTEN connection cannot be probed: DATABASE_URL does not answer, or leads to a standby";
const NOT_READING = "the database does not answer";

test("a LISTEN backend that hangs is replaced within 20 s", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({ databaseUrl, env: NOTIFY_ALONE });
  const traffic = await startTraffic(databaseUrl, service);
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

test("a LISTEN connection that the network has forgotten is replaced within 20 s", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const forgetful = await startForwarder(postgres.port);
  const forwarder = await startForwarder(forgetful.port);
  const directUrl = through(forwarder.port, databaseUrl, postgres);
  const service = await startServiceProcess({ databaseUrl, directUrl, env: NOTIFY_ALONE });
  const traffic = await startTraffic(databaseUrl, service);
  const watch = startWatch(service);

  // As a NAT does after too long a silence: what is open leads nowhere, and nobody is told; new connections pass.
  forgetful.swallow();
  forwarder.pointTo(postgres.port);
  const healMs = await traffic.mended(MENDED_MS);

  const { longestSilenceMs } = await traffic.judge("LISTEN connection forgotten", healMs);
  expect(longestSilenceMs).toBeLessThan(UNHEARD_MS);
  await expect(watch.close()).resolves.toMatchObject({ problems: [SILENT], down: ["listener"] });
  expect(stateLines(service)).toEqual(["listening", SILENT, "listening"]);
});

test("a network that swallows everything is noticed within 20 s, and so is its return", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const forwarder = await startForwarder(postgres.port);
  const service = await startServiceProcess({
    databaseUrl: through(forwarder.port, databaseUrl, postgres),
  });
  const traffic = await startTraffic(databaseUrl, service);

  forwarder.swallow();
  await expect.poll(service.readiness, { timeout: MENDED_MS }).toMatchObject({ status: 503 });
  // The feed is asked every 2 s and the listener every 10 s; no answer takes either 10 s.
  await expect
    .poll(service.readiness, { timeout: MENDED_MS })
    .toMatchObject({ status: 503, body: { problems: [NOT_LISTENING, NOT_READING] } });
  const metrics = await service.metrics();
  expect(metrics("bellwire_listener_up")).toBe(0);
  expect(metrics("bellwire_feed_up")).toBe(0);
  forwarder.heal();
  const healMs = await traffic.mended(MENDED_MS);
  await service.waitUntilReady();

  await traffic.judge("network swallows everything", healMs);
  const lines = [UNSENT, NOT_READING, "listening", "listening", "reading again"];
  expect(stateLines(service).toSorted()).toEqual(lines.toSorted());
});

test("pool backends that hang are replaced, and rows come after 15 s at the latest", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({ databaseUrl });
  const traffic = await startTraffic(databaseUrl, service);

  for (const pid of await postgres.backendPids("bellwire")) postgres.signalBackend(pid, "SIGSTOP");
  await expect.poll(() => stateLines(service), { timeout: 15_000 }).toContain(NOT_READING);
  await expect.poll(() => stateLines(service), { timeout: 5000 }).toContain("reading again");

  const { longestSilenceMs } = await traffic.judge("pool backends hang");
  expect(longestSilenceMs).toBeGreaterThan(5000);
  expect(longestSilenceMs).toBeLessThan(15_000);
});

test("who comes while pool backends hang waits for one of them, not for each in turn", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const env = { MAX_STREAMS_PER_RECIPIENT: "1000" };
  const service = await startServiceProcess({ databaseUrl, env });
  await service.waitUntilReady();
  const { url: address, token } = service;
  const options = { recipients: RECIPIENTS, addresses: () => address, token };
  // Crowds, until the pools have grown: a crowd's replays share queries, for which few connections may be enough.
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

/** Open streams, and writers that write for them without end. */
async function startTraffic(databaseUrl: string, service: ServiceProcess) {
  const [seed = 0] = seeds();
  const random = createRandom(seed);
  await service.waitUntilReady();
  const readers = await startReaders({
    streams: 10,
    recipients: RECIPIENTS,
    addresses: () => service.url,
    token: service.token,
    random: random.fork(),
  });
  await readers.ready();
  const writers = await startWriters({
    url: databaseUrl,
    count: 4,
    recipients: RECIPIENTS,
    random: random.fork(),
    pauseMs: [20, 100],
  });
  await readers.until(() => readers.deliveries.length > 20, 10_000);

  return {
    /** Resolves when the service listens again and rows arrive: how long that took, from now. */
    async mended(timeoutMs: number): Promise<number> {
      const since = performance.now();
      await readers.until(() => stateLines(service).slice(1).includes("listening"), timeoutMs);
      const listeningAt = performance.now();
      const timeLeftMs = timeoutMs - (listeningAt - since);
      await readers.until(() => (readers.lastDeliveryAt() ?? 0) > listeningAt, timeLeftMs);
      return performance.now() - since;
    },
    /** What every fault has in common: all that was sent has come, once, on the streams that were open. */
    async judge(fault: string, healMs?: number) {
      await writers.stop();
      await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 });
      await readers.close();
      const verdict = await judge({ postgresUrl: databaseUrl, readers, writers });
      report({ fault, seed, verdict: { ...verdict, healMs } });
      expectExact(verdict, { minReconnects: 0 });
      expect(verdict.reconnects).toBe(0);
      return verdict;
    },
  };
}

/** Looks at `/readyz` and `/metrics` all the time: what is wrong for a moment only is seen as well. */
function startWatch(service: ServiceProcess) {
  const problems = new Set<string>();
  const down = new Set<string>();
  let isClosed = false;

  async function watchReadiness() {
    while (!isClosed) {
      for (const problem of (await service.readiness()).body.problems) problems.add(problem);
      await delay(20);
    }
  }

  async function watchMetrics() {
    while (!isClosed) {
      const metrics = await service.metrics();
      for (const part of ["listener", "feed"])
        if (metrics(`bellwire_${part}_up`) === 0) down.add(part);
      await delay(20);
    }
  }

  const watching = Promise.all([watchReadiness(), watchMetrics()]);
  async function close() {
    isClosed = true;
    await watching;
    return { problems: [...problems], down: [...down] };
  }
  closeAfterTest(async () => void (await close()));
  return { close };
}

/** What the log says of listening and reading, in order; of what is wrong, the sentence. */
function stateLines(service: ServiceProcess) {
  return service
    .logs()
    .filter(({ msg }) => /^(not )?listening$|^cannot read|^reading again$/.test(msg))
    .map(({ msg, problem }) => problem ?? msg);
}

/** The same database by way of a forwarder. */
const through = (port: number, url: string, postgres: Postgres) =>
  url.replace(`:${postgres.port}/`, `:${port}/`);
