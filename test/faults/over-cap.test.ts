import { setTimeout as delay } from "node:timers/promises";
import { EventSource } from "eventsource";
import { expect, onTestFinished, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { canMakeNetwork, createNetwork, sendFrom } from "./support/network.ts";
import { PROXIES } from "./support/proxies.ts";
import { streamRequest } from "./support/raw-stream.ts";
import type { Delivery, Reader } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const CAP = 5;
const CLIENTS = 10;
const RECIPIENT = "1";
const [OPEN, CLOSED] = [1, 2];
/** For this time a refused client could still take the place of another. */
const WATCH_MS = 15_000;
const PATIENT = { timeout: 10_000 };

test.each([
  ["0", 1],
  // All ten connect in the same second. Those beyond the rate are told to retry, and are then refused.
  ["100", 2],
])(
  "of ten EventSources of one recipient five stay open and five are refused, with MAX_NEW_STREAMS_PER_SECOND=%s",
  async (maxNewStreams, maxTries) => {
    const [seed = 0] = seeds();
    const { service, databaseUrl, judge, clientOf } = await openCapped({
      MAX_NEW_STREAMS_PER_SECOND: maxNewStreams,
    });
    const deliveries: Delivery[] = [];
    const clients = Array.from({ length: CLIENTS }, (_, i) => clientOf(`${i + 1}`, deliveries));
    const isRefused = (client: Client) => client.state() === CLOSED;
    await expect
      .poll(() => clients.filter(isRefused).length, { timeout: 20_000 })
      .toBe(CLIENTS - CAP);
    const refused = clients.filter(isRefused);
    const staying = clients.filter((client) => !isRefused(client));
    await expect.poll(() => staying.every((client) => client.isReady()), PATIENT).toBe(true);

    const writers = await startWriters({
      url: databaseUrl,
      count: 4,
      recipients: [RECIPIENT],
      random: createRandom(seed),
      pauseMs: [0, 60],
    });
    for (const end = performance.now() + WATCH_MS; performance.now() < end; await delay(50))
      expect(staying.map((client) => client.state())).toEqual(staying.map(() => OPEN));
    const metrics = await service.metrics();
    expect(metrics("bellwire_streams")).toBe(CAP);
    expect(metrics("bellwire_stream_closes_total")).toBe(0);
    expect(metrics("bellwire_stream_refusals_total", { reason: "recipient_full" })).toBe(
      CLIENTS - CAP,
    );
    const tries = clients.reduce((sum, { statuses }) => sum + statuses.length, 0);

    // After a restart the same five come back: a refused EventSource does not retry.
    await service.restart("SIGTERM");
    const faultEndedAt = performance.now();
    await expect
      .poll(() => staying.map((client) => client.state()), { timeout: 30_000 })
      .toEqual(staying.map(() => OPEN));
    await writers.stop();
    const log = { readers: staying.map(({ reader }) => reader), deliveries, resets: [] };
    const verdict = await judge({ readers: log, writers, faultEndedAt, timeoutMs: 30_000 });
    const waits = refused.flatMap(({ retryAfter }) => retryAfter);
    report({ fault: "ten clients for five places", seed, verdict });
    console.log(
      `  ${tries} tries of ${CLIENTS} clients in ${WATCH_MS / 1000} s; Retry-After ${waits.join(", ")} s`,
    );

    expectExact(verdict, { minReconnects: CAP });
    for (const { statuses } of staying) expect(statuses).not.toContain(429);
    expect(refused.every(isRefused)).toBe(true);
    for (const { statuses } of refused) {
      expect(statuses.at(-1)).toBe(429);
      expect(statuses.length).toBeLessThanOrEqual(maxTries);
    }
    expect(waits.length).toBe(CLIENTS - CAP);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(30);
    expect(Math.max(...waits)).toBeLessThanOrEqual(60);
    expect(new Set(waits).size).toBeGreaterThan(1);
    expect(deliveries.some(({ reader }) => refused.some(({ name }) => name === reader))).toBe(
      false,
    );
    expect(service.exits).toEqual([]);
  },
);

test("a client that leaves makes room for one other, and a page that reloads gets its place again", async () => {
  const { service, query, judge, clientOf } = await openCapped();
  const deliveries: Delivery[] = [];
  const clients = Array.from({ length: CAP }, (_, i) => clientOf(`${i + 1}`, deliveries));
  await expect.poll(() => clients.every((client) => client.isReady()), PATIENT).toBe(true);
  const [leaving, ...staying] = clients;
  expect(await lateComer(clientOf)).toEqual({ state: CLOSED, statuses: [429] });

  leaving?.source.close();
  await expect
    .poll(async () => (await service.metrics())("bellwire_streams"), PATIENT)
    .toBe(CAP - 1);
  let newcomer = clientOf("newcomer", deliveries);
  await expect.poll(() => newcomer.isReady(), PATIENT).toBe(true);
  expect(await lateComer(clientOf)).toEqual({ state: CLOSED, statuses: [429] });

  // Like a browser that reloads: the new page connects right after the old one has left.
  for (let i = 1; i <= 30; i++) {
    newcomer.source.close();
    newcomer = clientOf(`reload ${i}`, deliveries);
    await expect.poll(() => newcomer.isReady() || newcomer.state() === CLOSED, PATIENT).toBe(true);
    expect(newcomer.statuses).toEqual([200]);
  }

  const present = [...staying, newcomer];
  await query("select bellwire.notify($1, 'test', body => 'for all')", [RECIPIENT]);
  const log = { readers: present.map(({ reader }) => reader), deliveries, resets: [] };
  const verdict = await judge({ readers: log, timeoutMs: 10_000 });
  report({ fault: "30 reloads at the cap", verdict });
  expectExact(verdict, { minReconnects: 0 });
  expect(verdict.reconnects).toBe(0);
});

test.each(Object.entries(PROXIES))(
  "behind %s a page that reloads always gets its place again, and one page too many gets none",
  async (proxy, startProxy) => {
    if (!startProxy) return console.warn(`Skipped: ${proxy} is not installed.`);
    const { service, clientOf } = await openCapped();
    const proxied: ServiceProcess = { ...service, url: await startProxy(service.port) };
    const statuses: number[][] = [];
    const waitsMs: number[] = [];
    for (let i = 1; i <= 14; i++) {
      const askedAt = performance.now();
      const page = clientOf(`load ${i}`, [], proxied);
      await expect.poll(() => page.isReady() || page.state() === CLOSED, PATIENT).toBe(true);
      statuses.push([...page.statuses]);
      waitsMs.push(performance.now() - askedAt);
      page.source.close();
    }
    console.log(
      `14 loads behind ${proxy}: ${statuses.flat().join(" ")}, the slowest ready in ${Math.max(...waitsMs).toFixed(0)} ms`,
    );
    expect(statuses).toEqual(Array(14).fill([200]));
    const tabs = Array.from({ length: CAP }, (_, i) => clientOf(`tab ${i}`, [], proxied));
    await expect.poll(() => tabs.every((tab) => tab.isReady()), PATIENT).toBe(true);
    expect(await lateComer(clientOf, proxied)).toEqual({ state: CLOSED, statuses: [429] });
    expect(tabs.map((tab) => tab.state())).toEqual(tabs.map(() => OPEN));
  },
);

test("a client that has vanished keeps its place only until its stream is closed", async ({
  skip,
}) => {
  skip(!canMakeNetwork(), "needs root and `ip netns`");
  const { service, clientOf, token } = await openCapped({
    HOST: "0.0.0.0",
    HEARTBEAT_SECONDS: "1",
    STALLED_SECONDS: "5",
  });
  const network = createNetwork();
  sendFrom(network, service.port, Array(CAP).fill(streamRequest({ token })));
  const streams = async () => (await service.metrics())("bellwire_streams");
  await expect.poll(streams, PATIENT).toBe(CAP);
  network.setDown();
  const vanishedAt = performance.now();
  let refusals = 0;
  while ((await streams()) === CAP) {
    const statuses = (await lateComer(clientOf)).statuses;
    // The place may have become free after the metric was read.
    if (statuses[0] !== 429) break;
    refusals++;
    expect(performance.now() - vanishedAt).toBeLessThan(30_000);
    await delay(250);
  }
  const goneMs = performance.now() - vanishedAt;
  const left = async () =>
    (await service.metrics())("bellwire_stream_closes_total", { reason: "vanished" });
  await expect.poll(left, PATIENT).toBe(CAP);
  await expect.poll(streams, PATIENT).toBe(0);
  const clients = Array.from({ length: CAP }, (_, i) => clientOf(`${i + 1}`, []));
  await expect.poll(() => clients.every((client) => client.isReady()), PATIENT).toBe(true);
  expect(await lateComer(clientOf)).toEqual({ state: CLOSED, statuses: [429] });
  console.log(
    `five vanished at the cap           refused ${refusals} times for ${(goneMs / 1000).toFixed(1)} s ` +
      "(STALLED_SECONDS=5), then five places",
  );
  // Each refusal first asks the other clients whether they are still there, which takes time.
  expect(refusals).toBeGreaterThan(2);
});

interface Client {
  name: string;
  source: EventSource;
  state(): number;
  /** Whether it has a position: from then on it may miss nothing. */
  isReady(): boolean;
  reader: Reader;
  /** The status of each request, in order. It is 0 for a request without an answer. */
  statuses: readonly number[];
  /** Of each 429, in seconds. */
  retryAfter: readonly number[];
}

type ClientOf = (name: string, deliveries: Delivery[], through?: { url: string }) => Client;

async function openCapped(env: Record<string, string> = {}) {
  const trial = await openTrial({
    env: { MAX_STREAMS_PER_RECIPIENT: `${CAP}`, DRAIN_SECONDS: "1", ...env },
  });
  const { service } = trial;
  const token = await service.token(RECIPIENT);
  const clientOf: ClientOf = (name, deliveries, through = service) =>
    openClient(through, token, name, deliveries);
  return { ...trial, token, clientOf };
}

/** The EventSource of npm, which follows the HTML standard. */
function openClient(
  { url }: { url: string },
  token: string,
  name: string,
  deliveries: Delivery[],
): Client {
  const recipientId = RECIPIENT;
  const statuses: number[] = [];
  const retryAfter: number[] = [];
  const isReadById = new Map<string, boolean>();
  const reader: Reader = { name, recipientId, connections: 0, statuses: new Map(), isReadById };
  let isReady = false;

  const source = new EventSource(`${url}/api/notifications/stream`, {
    async fetch(input, init) {
      const index = statuses.push(0) - 1;
      reader.connections++;
      const headers = { ...init.headers, authorization: `Bearer ${token}` };
      const response = await fetch(input, { ...init, headers });
      statuses[index] = response.status;
      reader.statuses.set(response.status, (reader.statuses.get(response.status) ?? 0) + 1);
      if (response.status === 429) retryAfter.push(Number(response.headers.get("retry-after")));
      return response;
    },
  });
  onTestFinished(() => source.close());
  source.addEventListener("ready", () => {
    isReady = true;
  });
  source.addEventListener("state", ({ data }) => {
    for (const { id, readAt } of JSON.parse(data).changes) isReadById.set(id, readAt !== null);
  });
  source.addEventListener("notification", ({ data, lastEventId }) => {
    const { id, title, body, readAt } = JSON.parse(data);
    isReadById.set(id, readAt !== null);
    const at = performance.now();
    deliveries.push({
      ...{ reader: name, recipientId, id, title, body, at },
      ...{ connection: reader.connections, resumedFrom: undefined, cursor: lastEventId },
    });
  });
  const state = () => source.readyState;
  return { name, source, state, isReady: () => isReady, reader, statuses, retryAfter };
}

/** A client that connects when all places are taken. Returns its final state. */
async function lateComer(clientOf: ClientOf, through?: { url: string }) {
  const client = clientOf("late", [], through);
  await expect.poll(() => client.isReady() || client.state() === CLOSED, PATIENT).toBe(true);
  const state = client.state();
  client.source.close();
  return { state, statuses: client.statuses };
}
