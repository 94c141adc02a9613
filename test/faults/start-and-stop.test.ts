import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { LAST_WORDS, REFUSAL } from "../support/event-source.ts";
import { createRandom } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const NOT_LISTENING = "the LISTEN connection cannot be made or was lost";
const NOT_READING = "the database does not answer";

const STREAMS = 20;
const DRAIN_MS = 2000;
const ENV = { DRAIN_SECONDS: `${DRAIN_MS / 1000}`, MAX_STREAMS_PER_RECIPIENT: `${STREAMS + 1}` };

test("a service that starts before its database waits for it", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  await postgres.stop("fast");
  const service = await startServiceProcess({ databaseUrl, env: ENV });

  expect((await fetch(`${service.url}/livez`)).status).toBe(200);
  expect(await service.readiness()).toMatchObject({
    status: 503,
    body: { problems: [NOT_LISTENING, NOT_READING] },
  });
  expect((await service.metrics())("bellwire_listener_up")).toBe(0);
  expect((await service.metrics())("bellwire_feed_up")).toBe(0);
  expect(await readStream(service)).toMatch(REFUSAL);
  // To stop it needs no database either.
  expect(await service.restart("SIGTERM")).toMatchObject({ code: 0 });
  const readers = await openReaders(service);
  await delay(10_000); // the pauses between two tries have grown by then
  expect(readers.readers.every(({ connections }) => connections > 1)).toBe(true);

  await postgres.start();
  const startedAt = performance.now();
  await service.waitUntilReady(15_000);
  await readers.ready(15_000);
  const healMs = performance.now() - startedAt;
  expect((await service.metrics())("bellwire_listener_up")).toBe(1);
  expect((await service.metrics())("bellwire_feed_up")).toBe(1);
  await postgres.query("select bellwire.notify('1', 'test', body => 'first')", [], "bellwire");
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 });
  await readers.close();
  const verdict = await judge({ postgresUrl: databaseUrl, readers });
  report({ fault: "started before its database", verdict: { ...verdict, healMs } });
  expectExact(verdict);
  for (const { statuses } of readers.readers) expect([...statuses.keys()]).toEqual([200]);
  expect(service.exits).toEqual([]);
  // Two lives, of which one has seen the database.
  expect(countStates(service)).toEqual({
    [NOT_LISTENING]: 2,
    [NOT_READING]: 2,
    listening: 1,
    "reading again": 1,
  });
});

test("a database that hangs does not hold up the end", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  // Sweeps without a pause, so that one waits for its answer when the end comes.
  const service = await startServiceProcess({ databaseUrl, env: { ...ENV, SWEEP_MS: "10" } });
  await service.waitUntilReady();
  const readers = await openReaders(service);
  await readers.ready();

  const backends = await postgres.backendPids("bellwire");
  backends.push(...(await postgres.backendPids("bellwire listener")));
  for (const pid of backends) postgres.signalBackend(pid, "SIGSTOP");
  const answers = Promise.allSettled([readStream(service), readInbox(service)]);
  // The feed's read and theirs: one in each pool.
  await expect.poll(() => countUnread(postgres.port)).toBeGreaterThanOrEqual(3);
  const exit = await service.kill("SIGTERM");
  console.log(`${"database hangs, SIGTERM".padEnd(32)}  exit after ${seconds(exit.afterMs)}`);
  expect(exit).toMatchObject({ code: 0, signal: null });
  expect(exit.afterMs).toBeLessThan(DRAIN_MS + 5000);
  expect((await answers).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s ends every stream and then the service",
  async (signal) => {
    const postgres = await startPostgres();
    const databaseUrl = await createMigrated(postgres);
    const service = await startServiceProcess({ databaseUrl, env: ENV });
    await service.waitUntilReady();
    const texts = Promise.all(Array.from({ length: STREAMS }, () => readStream(service)));
    texts.catch(() => {}); // told below
    await expect.poll(async () => (await service.metrics())("bellwire_streams")).toBe(STREAMS);

    const exit = await service.kill(signal);
    console.log(`${`healthy, ${signal}`.padEnd(32)}  exit after ${seconds(exit.afterMs)}`);
    expect(exit).toMatchObject({ code: 0, signal: null });
    expect(exit.afterMs).toBeLessThan(DRAIN_MS + 1000);
    for (const text of await texts)
      expect(text).toMatch(new RegExp(`event: ready\n.*\n\n${LAST_WORDS.source}`, "s"));
  },
);

test("a second signal ends the service at once, and one that comes with the first does not", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({
    databaseUrl,
    env: { ...ENV, DRAIN_SECONDS: "60" },
  });
  await service.waitUntilReady();
  const readers = await openReaders(service);
  await readers.ready();

  service.signal("SIGTERM");
  await delay(200); // as npm does, which passes on what the terminal has sent to all of us
  service.signal("SIGINT");
  await delay(1000);
  expect(service.pid()).toBeDefined();
  const askedAgainAt = performance.now();
  const exit = await service.kill("SIGTERM");
  const afterMs = performance.now() - askedAgainAt;
  console.log(`${"second signal".padEnd(32)}  exit after ${seconds(afterMs)}`);
  expect(exit).toMatchObject({ code: 1, signal: null });
  expect(afterMs).toBeLessThan(500);
});

function openReaders(service: ServiceProcess) {
  return startReaders({
    streams: STREAMS,
    recipients: ["1"],
    addresses: () => service.url,
    token: service.token,
    random: createRandom(1),
  });
}

/** A stream to its end, which must be one after which an EventSource comes again. */
async function readStream({ url, token }: ServiceProcess): Promise<string> {
  const response = await fetch(`${url}/api/notifications/stream`, {
    headers: { authorization: `Bearer ${await token("1")}` },
  });
  expect(response.status).toBe(200);
  return await response.text();
}

async function readInbox({ url, token }: ServiceProcess): Promise<number> {
  const headers = { authorization: `Bearer ${await token("1")}` };
  return (await fetch(`${url}/api/notifications`, { headers })).status;
}

/** Connections that hold what the server has not read: here, queries that wait for a backend that hangs. */
async function countUnread(port: number): Promise<number> {
  const server = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const table = await readFile("/proc/net/tcp", "utf8"); // address, peer, state, queues to send:to read
  return table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , , queues]) => address === server && !queues?.endsWith(":00000000"))
    .length;
}

/** How often the log says that a state began or ended. */
function countStates(service: ServiceProcess): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { msg, problem } of service.logs()) {
    if (!/^(not )?listening$|^cannot read|^reading again$/.test(msg)) continue;
    const state = String(problem ?? msg);
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
