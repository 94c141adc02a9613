import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { expectExact, judge } from "./support/checker.ts";
import { closeAfterTest } from "./support/close-after-test.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { createRawReader, type RawReader, streamRequest } from "./support/raw-stream.ts";
import type { Delivery } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const VANISHING = 500;
const STREAMS_PER_RECIPIENT = 10;
/** Clients on the loopback interface, whom nothing happens to. */
const STAYING = 10;
/** A ping comes after 19 s at the latest, the first look at it after 5, and for 30 it may be unacknowledged. */
const GONE_WITHIN_MS = 60_000;

test("500 clients whose network is gone are let go within 60 s, and nobody else's streams are", async ({
  skip,
}) => {
  skip(!canMakeNetwork(), "needs root and `ip netns`");
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({ databaseUrl, env: { HOST: "0.0.0.0" } });
  await service.waitUntilReady();
  const { readers, deliveries } = await openReaders(service);
  const network = createNetwork();
  const before = await lookTwice(service, network);
  expect(before).toMatchObject({ streams: STAYING, fromNetwork: 0 });
  const leftBefore = await countLeft(service);

  await openStreams(network, service);
  await expect
    .poll(() => look(service, network), { timeout: 60_000 })
    .toMatchObject({ streams: STAYING + VANISHING, fromNetwork: VANISHING });
  network.setDown();
  const vanishedAt = performance.now();
  let firstGoneMs: number | undefined;
  for (let streams = STAYING + VANISHING; streams > STAYING; ) {
    await writeToAll(postgres, databaseUrl);
    streams = (await service.metrics())("bellwire_streams");
    const ms = performance.now() - vanishedAt;
    if (streams < STAYING + VANISHING) firstGoneMs ??= ms;
    expect(ms, `${streams} streams are counted`).toBeLessThan(GONE_WITHIN_MS);
    await delay(250);
  }
  const goneMs = performance.now() - vanishedAt;
  await expect.poll(() => look(service, network), { timeout: 10_000 }).toEqual(before);
  expect(await countLeft(service)).toBe(leftBefore + VANISHING);

  const log = { readers: readers.map(({ reader }) => reader), deliveries, resets: [] };
  await settle({ postgresUrl: databaseUrl, readers: log, timeoutMs: 30_000 });
  const verdict = await judge({ postgresUrl: databaseUrl, readers: log });
  report({ fault: "vanished clients", verdict });
  console.log(
    `  ${VANISHING} vanished, the first gone after ${seconds(firstGoneMs)}, the last after ${seconds(goneMs)}; ` +
      `${before.otherFds} file descriptors and ${before.otherHandles} handles before and after, beside sockets`,
  );
  expectExact(verdict, { minReconnects: 0 });
  expect(verdict.reconnects).toBe(0);
  expect(readers.every((reader) => reader.isOpen())).toBe(true);
  expect(service.exits).toEqual([]);
});

interface Look {
  streams: number;
  /** Its sockets to the network. How many others it has, in its pools and for the requests made here, is chance. */
  fromNetwork: number;
  otherFds: number;
  otherHandles: number;
}

/** What the service has open. */
async function look(service: ServiceProcess, network: Network): Promise<Look> {
  const sockets = socketsOf(service);
  const metrics = await service.metrics();
  // To answer, it may have opened one more.
  if (socketsOf(service).length !== sockets.length) return await look(service, network);
  return {
    streams: metrics("bellwire_streams"),
    fromNetwork: sockets.filter((line) => line.includes(` ${network.host}:`)).length,
    otherFds: metrics("process_open_fds") - sockets.length,
    otherHandles: metrics("nodejs_active_handles_total") - sockets.length,
  };
}

const socketsOf = (service: ServiceProcess) =>
  execFileSync("ss", ["-Htnp"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(`pid=${service.pid()},`));

/** Until it is the same: it opens the kernel's table for a moment every few seconds. */
async function lookTwice(service: ServiceProcess, network: Network): Promise<Look> {
  for (let last = await look(service, network); ; ) {
    const next = await look(service, network);
    if (isDeepStrictEqual(next, last)) return next;
    last = next;
  }
}

const countLeft = async (service: ServiceProcess) =>
  (await service.metrics())("bellwire_stream_closes_total", { reason: "vanished" });

async function openReaders(service: ServiceProcess) {
  const deliveries: Delivery[] = [];
  const readers: RawReader[] = [];
  for (let i = 1; i <= STAYING; i++) {
    const recipientId = `stays ${i}`;
    const token = await service.token(recipientId);
    const name = `reader ${i}`;
    readers.push(createRawReader({ name, recipientId, token, address: service.url, deliveries }));
  }
  await Promise.all(readers.map((reader) => reader.open()));
  return { readers, deliveries };
}

async function writeToAll(postgres: Postgres, databaseUrl: string): Promise<void> {
  await postgres.query(
    "select bellwire.notify('stays ' || i, 'test', body => 'still here') from generate_series(1, $1) as i",
    [STAYING],
    new URL(databaseUrl).pathname.slice(1),
  );
}

type Network = ReturnType<typeof createNetwork>;

/** A network of its own with one way out of it, to this machine; removed when the test ends. */
function createNetwork() {
  const name = `bellwire-${process.pid}`;
  // Interfaces' names have 15 characters.
  const [here, there] = [`bwh${process.pid}`, `bwt${process.pid}`];
  // Of the range for benchmarks (RFC 2544).
  const address = (last: number) => `198.18.${process.pid % 256}.${last}`;
  closeAfterTest(async () => {
    for (const args of [
      ["link", "delete", here],
      ["netns", "delete", name],
    ])
      tryIp(...args);
  });
  ip("netns", "add", name);
  ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name);
  ip("address", "add", `${address(1)}/30`, "dev", here);
  ip("link", "set", here, "up");
  ip("-netns", name, "address", "add", `${address(2)}/30`, "dev", there);
  ip("-netns", name, "link", "set", there, "up");
  return {
    name,
    host: address(1),
    /** From now on nothing gets out or in, so that nobody is told that anything has ended. */
    setDown: () => ip("-netns", name, "link", "set", there, "down"),
  };
}

const ip = (...args: string[]) => void execFileSync("ip", args, { stdio: "pipe" });

function tryIp(...args: string[]): boolean {
  try {
    ip(...args);
    return true;
  } catch {
    return false; // no such program, no right to it, or no such thing
  }
}

function canMakeNetwork(): boolean {
  const name = `bellwire-probe-${process.pid}`;
  return tryIp("netns", "add", name) && tryIp("netns", "delete", name);
}

const CLIENT = `
  const { connect } = require("node:net");
  const { host, port, requests, streamsPerRequest } = JSON.parse(process.argv[1]);
  for (const request of requests)
    for (let i = 0; i < streamsPerRequest; i++) connect(port, host).resume().write(request);
`;

/** A process within the network, with streams from there. */
async function openStreams(network: Network, service: ServiceProcess): Promise<void> {
  const requests: string[] = [];
  for (let i = 0; i < VANISHING / STREAMS_PER_RECIPIENT; i++)
    requests.push(streamRequest({ token: await service.token(`vanishes ${i}`) }));
  const { host } = network;
  const { port } = service;
  const options = { host, port, requests, streamsPerRequest: STREAMS_PER_RECIPIENT };
  const child = spawn(
    "ip",
    ["netns", "exec", network.name, process.execPath, "-e", CLIENT, JSON.stringify(options)],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const ended = once(child, "exit");
  closeAfterTest(async () => {
    child.kill("SIGKILL");
    await ended;
  });
}

const seconds = (ms: number | undefined) => `${((ms ?? Number.NaN) / 1000).toFixed(1)} s`;
