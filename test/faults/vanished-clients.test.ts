import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { expectExact } from "./support/checker.ts";
import { canMakeNetwork, createNetwork, type Network, sendFrom } from "./support/network.ts";
import { createRawReaders, streamRequest } from "./support/raw-stream.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";

const VANISHING = 500;
const STREAMS_PER_RECIPIENT = 10;
/** Clients on the loopback interface, which stay connected. */
const STAYING = 10;
/** The next ping comes within 19 s, is first checked after 5 s, and may be unacknowledged for 30 s. */
const GONE_WITHIN_MS = 60_000;

test("the streams of 500 clients whose network is gone are closed within 60 s, and no others", async ({
  skip,
}) => {
  skip(!canMakeNetwork(), "needs root and `ip netns`");
  const { service, query, judge } = await openTrial({ env: { HOST: "0.0.0.0" } });
  const staying = Array.from({ length: STAYING }, (_, i) => `stays ${i + 1}`);
  const { readers, log } = await createRawReaders(service, staying);
  await Promise.all(readers.map((reader) => reader.open()));
  const network = createNetwork();
  const before = await lookTwice(service, network);
  expect(before).toMatchObject({ streams: STAYING, fromNetwork: 0 });
  const vanishedBefore = await countVanished(service);

  const requests: string[] = [];
  for (let i = 0; i < VANISHING; i++) {
    const recipientId = `vanishes ${i % (VANISHING / STREAMS_PER_RECIPIENT)}`;
    requests.push(streamRequest({ token: await service.token(recipientId) }));
  }
  sendFrom(network, service.port, requests);
  await expect
    .poll(() => look(service, network), { timeout: 60_000 })
    .toMatchObject({ streams: STAYING + VANISHING, fromNetwork: VANISHING });
  network.setDown();
  const vanishedAt = performance.now();
  let firstGoneMs: number | undefined;
  for (let streams = STAYING + VANISHING; streams > STAYING; ) {
    await query(
      "select bellwire.notify(id, 'test', body => 'still here') from unnest($1::text[]) as id",
      [staying],
    );
    streams = (await service.metrics())("bellwire_streams");
    const ms = performance.now() - vanishedAt;
    if (streams < STAYING + VANISHING) firstGoneMs ??= ms;
    expect(ms, `${streams} streams are counted`).toBeLessThan(GONE_WITHIN_MS);
    await delay(250);
  }
  const goneMs = performance.now() - vanishedAt;
  await expect.poll(() => look(service, network), { timeout: 10_000 }).toEqual(before);
  expect(await countVanished(service)).toBe(vanishedBefore + VANISHING);

  const verdict = await judge({ readers: log, timeoutMs: 30_000 });
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
  /** Its sockets to the network. The number of others, for its pools and the requests of this test, varies. */
  fromNetwork: number;
  otherFds: number;
  otherHandles: number;
}

/** What the service has open. */
async function look(service: ServiceProcess, network: Network): Promise<Look> {
  const sockets = socketsOf(service);
  const metrics = await service.metrics();
  // It may have opened one more to answer.
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

/** Repeats until two looks agree, because the service opens the kernel's table for a moment every few seconds. */
async function lookTwice(service: ServiceProcess, network: Network): Promise<Look> {
  for (let last = await look(service, network); ; ) {
    const next = await look(service, network);
    if (isDeepStrictEqual(next, last)) return next;
    last = next;
  }
}

const countVanished = async (service: ServiceProcess) =>
  (await service.metrics())("bellwire_stream_closes_total", { reason: "vanished" });

const seconds = (ms: number | undefined) => `${((ms ?? Number.NaN) / 1000).toFixed(1)} s`;
