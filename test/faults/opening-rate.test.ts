import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { expectExact } from "./support/checker.ts";
import { startLoop } from "./support/loop.ts";
import { createProbe, type Probe, p99, type Waits } from "./support/probe.ts";
import { openConnection, type RawConnection } from "./support/raw-connection.ts";
import { createRawReaders, streamRequest } from "./support/raw-stream.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";

/** The default of MAX_NEW_STREAMS_PER_SECOND. */
const RATE = 100;
const OPENS = 3000;
const AT_ONCE = 200;
/** Streams of the same IP address that are open already. */
const STAYING = 20;
/** A refused client is told to retry after this time. */
const RETRY_MS = [5000, 10_000] as const;

test("of 3000 streams that one IP address opens at once 100 a second are admitted, the rest retry later, and others notice nothing", async () => {
  const { service, databaseUrl, query, judge } = await openLimited();
  const staying = Array.from({ length: STAYING }, (_, i) => `stays ${i + 1}`);
  const { readers, log } = await createRawReaders(service, staying);
  await Promise.all(readers.map((reader) => reader.open())); // fewer than the rate
  const probe = await createProbe({ service, databaseUrl });
  const usual = await probe.measure(300);
  const cpuSeconds = async () => (await service.metrics())("process_cpu_seconds_total");
  const cpuBefore = await cpuSeconds();

  const requests = await Promise.all(
    Array.from({ length: OPENS }, async (_, i) => requestOf(service, `comes ${i % 1000}`)),
  );
  const writing = startLoop(async () => {
    await query(
      "select bellwire.notify(id, 'test', body => 'meanwhile') from unnest($1::text[]) as id",
      [staying],
    );
    await delay(10);
  });
  const opening = openAll(service.port, requests);
  const waits = await measureDuring(opening, probe);
  const { opened, retries, seconds } = await opening;
  await writing.close();
  const cpu = (await cpuSeconds()) - cpuBefore;
  const metrics = await service.metrics();

  const verdict = await judge({ readers: log, timeoutMs: 30_000 });
  report({ fault: "3000 openings at once", verdict });
  console.log(
    `  in ${seconds.toFixed(1)} s ${opened.length} opened, ${retries.length} told to retry in ` +
      `${Math.min(...retries)} to ${Math.max(...retries)} ms, for ${cpu.toFixed(1)} s of CPU; ` +
      `p99 of others' answers ${ms(p99(usual.answers))}, then ${ms(p99(waits.answers))}, ` +
      `of their messages ${ms(p99(usual.messages))}, then ${ms(p99(waits.messages))}`,
  );

  expectRate(opened.length, seconds);
  expect(opened.length + retries.length).toBe(OPENS);
  expect(metrics("bellwire_stream_refusals_total", { reason: "rate" })).toBe(retries.length);
  expect(metrics("bellwire_stream_refusals_total")).toBe(retries.length);
  expect(Math.min(...retries)).toBeGreaterThanOrEqual(RETRY_MS[0]);
  expect(Math.max(...retries)).toBeLessThanOrEqual(RETRY_MS[1]);
  expect(new Set(retries).size).toBeGreaterThan(retries.length / 10);
  expect(opened.every((stream) => stream.isOpen())).toBe(true);
  expect(readers.every((reader) => reader.isOpen())).toBe(true);
  expectExact(verdict, { minReconnects: 0 });
  expect(verdict.reconnects).toBe(0);
  for (const kind of ["answers", "messages"] as const)
    expect(p99(waits[kind]), kind).toBeLessThan(10 * Math.max(p99(usual[kind]), 100));
  expect(service.exits).toEqual([]);
});

/** IP addresses for documentation (RFC 5737). */
const somebody = (last: number) => `198.51.100.${last}`;
const forged = (last: number) => `203.0.113.${last}`;

describe("X-Forwarded-For", () => {
  test("is ignored where no proxy is trusted: a new address for each stream changes nothing", async () => {
    const { service } = await openLimited({ TRUST_PROXY: "0" });
    const { opened, retries, seconds } = await openFrom(service, (i) => somebody(i % 40));
    print("forged, TRUST_PROXY=0", opened, retries, seconds);
    expectRate(opened.length, seconds);
    expectNotLogged(service);
  });

  test("names the client where a proxy is trusted: each IP address has its own rate, and so has each /64 of IPv6", async () => {
    const { service } = await openLimited({ TRUST_PROXY: "1" });
    const { opened, retries, seconds } = await openFrom(service, (i) => somebody(i % 40));
    print("40 addresses, TRUST_PROXY=1", opened, retries, seconds);
    expect([opened.length, retries.length]).toEqual([1000, 0]);
    const network = await openFrom(service, (i) => `2001:db8::${i.toString(16)}`, 300);
    print("one /64, TRUST_PROXY=1", network.opened, network.retries, network.seconds);
    expectRate(network.opened.length, network.seconds);
    expectNotLogged(service);
  });

  test("is read from the right: a forged address stands left of the one that the proxy saw", async () => {
    const { service } = await openLimited({ TRUST_PROXY: "1" });
    const { opened, retries, seconds } = await openFrom(
      service,
      (i) => `${forged(i % 250)}, ${somebody(1)}`,
    );
    print("forged, TRUST_PROXY=1", opened, retries, seconds);
    expectRate(opened.length, seconds);
    expectNotLogged(service);
  });

  test.skipIf(!hasNginx)("is read from the right behind nginx as well", async () => {
    const { service } = await openLimited({ TRUST_PROXY: "1" });
    const nginx = await startNginx({
      locations: `location / {
        proxy_pass ${service.url};
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      }`,
    });
    // Debian's nginx allows 768 connections, and a stream takes two.
    const { opened, retries, seconds } = await openFrom(
      service,
      (i) => forged(i % 250),
      300,
      nginx.port,
    );
    print("forged, through nginx", opened, retries, seconds);
    expectRate(opened.length, seconds);
    expectNotLogged(service);
  });
});

const openLimited = (env: Record<string, string> = {}) =>
  openTrial({ env: { MAX_NEW_STREAMS_PER_SECOND: `${RATE}`, ...env } });

const requestOf = async (service: ServiceProcess, recipientId: string, ...headers: string[]) =>
  streamRequest({ token: await service.token(recipientId) }).replace(
    /\r\n$/,
    `${headers.map((header) => `${header}\r\n`).join("")}\r\n`,
  );

/** Opens each stream for another recipient. */
async function openFrom(
  service: ServiceProcess,
  addresses: (i: number) => string,
  count = 1000,
  port = service.port,
) {
  const requests = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      requestOf(service, `comes ${i}`, `X-Forwarded-For: ${addresses(i)}`),
    ),
  );
  return await openAll(port, requests);
}

const RETRY_LATER =
  /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n[0-9a-f]+\r\nretry: (\d+)\nevent: ping\ndata: .*\n\n\r\n0\r\n\r\n$/s;

/** Opens them as fast as they are answered. Each becomes a stream, or gets a time to retry and nothing else. */
async function openAll(port: number, requests: readonly string[]) {
  const from = performance.now();
  const opened: RawConnection[] = [];
  const retries: number[] = [];
  let next = 0;
  async function run() {
    for (let i = next++; i < requests.length; i = next++) {
      const connection = openConnection(port);
      connection.say(requests[i] ?? "");
      await connection.until((heard) => /event: ready|\r\n0\r\n\r\n/.test(heard));
      const heard = connection.heard();
      const retry = RETRY_LATER.exec(heard)?.[1];
      if (retry) retries.push(Number(retry));
      else if (heard.includes("event: ready")) opened.push(connection);
      else throw new Error(`neither opened nor told to retry later: ${heard}`);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, run));
  return { opened, retries, seconds: (performance.now() - from) / 1000 };
}

async function measureDuring(end: Promise<unknown>, probe: Probe): Promise<Waits> {
  const waits: Waits = { answers: [], messages: [] };
  let isEnded = false;
  void end.finally(() => {
    isEnded = true;
  });
  while (!isEnded) {
    const { answers, messages } = await probe.measure(1);
    waits.answers.push(...answers);
    waits.messages.push(...messages);
  }
  return waits;
}

/** A second of the limit begins with its first stream, so up to two more may have begun. */
function expectRate(opened: number, seconds: number): void {
  expect(opened).toBeGreaterThanOrEqual(RATE);
  expect(opened).toBeLessThanOrEqual(RATE * (Math.floor(seconds) + 2));
}

/** The log has no IP address, real or forged. */
function expectNotLogged(service: ServiceProcess): void {
  expect(service.logs().some(({ msg }) => msg === "stream opened")).toBe(true);
  const logged = JSON.stringify(service.logs());
  for (const start of ["198.51.100.", "203.0.113.", "2001:db8:"])
    expect(logged).not.toContain(start);
}

function print(
  what: string,
  opened: readonly unknown[],
  retries: readonly unknown[],
  seconds: number,
): void {
  console.log(
    `${what.padEnd(32)}  ${opened.length} opened, ${retries.length} told to retry later, in ${seconds.toFixed(1)} s`,
  );
}

const ms = (value: number) => `${value.toFixed(1)} ms`;
