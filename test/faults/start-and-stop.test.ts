import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { LAST_WORDS, openStream, REFUSAL } from "../support/event-source.ts";
import { createRandom } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { openReaders, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { openDatabase, openTrial } from "./support/trial.ts";

const NOT_LISTENING = "the LISTEN connection cannot be made or was lost";
const NOT_READING = "the database does not answer";

const STREAMS = 20;
const DRAIN_MS = 2000;
const ENV = { DRAIN_SECONDS: `${DRAIN_MS / 1000}`, MAX_STREAMS_PER_RECIPIENT: `${STREAMS + 1}` };

test("a service that starts before its database becomes ready when the database is up", async () => {
  const { postgres, databaseUrl, query, judge } = await openDatabase();
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
  // It also stops without a database.
  expect(await service.restart("SIGTERM")).toMatchObject({ code: 0 });
  const { url, token } = service;
  const readers = await startReaders({ ...reading(), addresses: () => url, token });
  await delay(10_000); // by then the pauses between two attempts are longer
  expect(readers.readers.every(({ connections }) => connections > 1)).toBe(true);

  await postgres.start();
  const startedAt = performance.now();
  await service.waitUntilReady(15_000);
  await readers.ready(15_000);
  const healMs = performance.now() - startedAt;
  expect((await service.metrics())("bellwire_listener_up")).toBe(1);
  expect((await service.metrics())("bellwire_feed_up")).toBe(1);
  await query("select bellwire.notify('1', 'test', body => 'first')");
  const verdict = await judge({ readers, timeoutMs: 10_000 });
  report({ fault: "started before its database", verdict: { ...verdict, healMs } });
  expectExact(verdict);
  for (const { statuses } of readers.readers) expect([...statuses.keys()]).toEqual([200]);
  expect(service.exits).toEqual([]);
  // Two processes, of which one has seen the database.
  expect(countStates(service)).toEqual({
    [NOT_LISTENING]: 2,
    [NOT_READING]: 2,
    listening: 1,
    "reading again": 1,
  });
});

test("a database that hangs does not delay the exit", async () => {
  // Sweeps without pauses, so that one waits for its answer at the exit.
  const { postgres, service } = await openTrial({ env: { ...ENV, SWEEP_MS: "10" } });
  await openReaders(service, reading());

  const backends = await postgres.backendPids("bellwire");
  backends.push(...(await postgres.backendPids("bellwire listener")));
  for (const pid of backends) postgres.signalBackend(pid, "SIGSTOP");
  const answers = Promise.allSettled([readStream(service), readInbox(service)]);
  // The feed's read and these two: one query in each pool.
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
    const { service } = await openTrial({ env: ENV });
    const streams = await Promise.all(
      Array.from({ length: STREAMS }, () => openStream(service, "1")),
    );
    // The service counts a stream before the stream is ready.
    await Promise.all(streams.map(({ waitFor }) => waitFor(({ event }) => event === "ready")));
    expect((await service.metrics())("bellwire_streams")).toBe(STREAMS);

    const exit = await service.kill(signal);
    console.log(`${`healthy, ${signal}`.padEnd(32)}  exit after ${seconds(exit.afterMs)}`);
    expect(exit).toMatchObject({ code: 0, signal: null });
    expect(exit.afterMs).toBeLessThan(DRAIN_MS + 1000);
    for (const { status, text, ended } of streams) {
      await ended;
      expect(status).toBe(200);
      expect(text()).toMatch(new RegExp(`event: ready\n.*\n\n${LAST_WORDS.source}`, "s"));
    }
  },
);

test("a second signal ends the service at once, unless it comes together with the first", async () => {
  const { service } = await openTrial({ env: { ...ENV, DRAIN_SECONDS: "300" } }); // 6 s for 20 streams
  await openReaders(service, reading());

  service.signal("SIGTERM");
  await delay(200); // like npm, which passes on a signal that the terminal has sent to all processes
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

const reading = () => ({ streams: STREAMS, recipients: ["1"], random: createRandom(1) });

/** Reads a stream to its end. Its status must be 200, because an EventSource does not reconnect after another one. */
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

/** Counts the connections with bytes that PostgreSQL has not read: queries that wait for a backend that hangs. */
async function countUnread(port: number): Promise<number> {
  const server = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const table = await readFile("/proc/net/tcp", "utf8"); // address, peer, state, queues to send:to read
  return table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , , queues]) => address === server && !queues?.endsWith(":00000000"))
    .length;
}

/** How often the log reports the begin or the end of a state. */
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
