import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { createProbe, type Probe, p99, type Waits } from "./support/probe.ts";
import { openConnection, type RawConnection } from "./support/raw-connection.ts";
import { createRawReader, streamRequest } from "./support/raw-stream.ts";
import type { Delivery } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

/** The default. */
const RATE = 100;
const OPENS = 3000;
const AT_ONCE = 200;
/** Who has a stream already, of the same address. */
const STAYING = 20;
/** Told to come later is told 5 s to 10 s. */
const RETRY_MS = [5000, 10_000] as const;

test("of 3000 streams that one address opens at once 100 a second are let in, the rest come later, and nobody else is harmed", async () => {
  const { postgres, service, databaseUrl } = await start();
  const { readers, deliveries } = await openReaders(service);
  const probe = await createProbe({ service, databaseUrl });
  const usual = await probe.measure(300);
  const cpuSeconds = async () => (await service.metrics())("process_cpu_seconds_total");
  const cpuBefore = await cpuSeconds();

  const requests = await Promise.all(
    Array.from({ length: OPENS }, async (_, i) => requestOf(service, `comes ${i % 1000}`)),
  );
  const writing = startWriting(postgres, readers.length);
  const opening = openAll(service.port, requests);
  const waits = await measureDuring(opening, probe);
  const { opened, retries, seconds } = await opening;
  await writing.stop();
  const cpu = (await cpuSeconds()) - cpuBefore;
  const metrics = await service.metrics();

  const log = { readers: readers.map(({ reader }) => reader), deliveries, resets: [] };
  await settle({ postgresUrl: databaseUrl, readers: log, timeoutMs: 30_000 });
  const verdict = await judge({ postgresUrl: databaseUrl, readers: log });
  report({ fault: "3000 openings at once", verdict });
  console.log(
    `  in ${seconds.toFixed(1)} s ${opened.length} opened, ${retries.length} told to come in ` +
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

/** Of the networks for documentation (RFC 5737). */
const somebody = (last: number) => `198.51.100.${last}`;
const forged = (last: number) => `203.0.113.${last}`;

describe("X-Forwarded-For", () => {
  test("is nobody's word where no proxy is trusted: a new address for every stream changes nothing", async () => {
    const { service } = await start({ TRUST_PROXY: "0" });
    const { opened, retries, seconds } = await openFrom(service, (i) => somebody(i % 40));
    print("forged, TRUST_PROXY=0", opened, retries, seconds);
    expectRate(opened.length, seconds);
    expectNotLogged(service);
  });

  test("tells addresses apart where a proxy is trusted: each has a rate of its own, and so has a /64 of IPv6", async () => {
    const { service } = await start({ TRUST_PROXY: "1" });
    const { opened, retries, seconds } = await openFrom(service, (i) => somebody(i % 40));
    print("40 addresses, TRUST_PROXY=1", opened, retries, seconds);
    expect([opened.length, retries.length]).toEqual([1000, 0]);
    const network = await openFrom(service, (i) => `2001:db8::${i.toString(16)}`, 300);
    print("one /64, TRUST_PROXY=1", network.opened, network.retries, network.seconds);
    expectRate(network.opened.length, network.seconds);
    expectNotLogged(service);
  });

  test("counts from the right: what a client forges stands left of what the proxy saw", async () => {
    const { service } = await start({ TRUST_PROXY: "1" });
    const { opened, retries, seconds } = await openFrom(
      service,
      (i) => `${forged(i % 250)}, ${somebody(1)}`,
    );
    print("forged, TRUST_PROXY=1", opened, retries, seconds);
    expectRate(opened.length, seconds);
    expectNotLogged(service);
  });

  test.skipIf(!hasNginx)("and so it does through nginx", async () => {
    const { service } = await start({ TRUST_PROXY: "1" });
    const nginx = await startNginx({
      locations: `location / {
        proxy_pass ${service.url};
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      }`,
    });
    // Debian's nginx has room for 768 connections, and a stream is two.
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

async function start(env: Record<string, string> = {}) {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({
    databaseUrl,
    env: { MAX_NEW_STREAMS_PER_SECOND: `${RATE}`, ...env },
  });
  await service.waitUntilReady();
  return { postgres, service, databaseUrl };
}

/** Slowly enough to be let in. */
async function openReaders(service: ServiceProcess) {
  const deliveries: Delivery[] = [];
  const readers = await Promise.all(
    Array.from({ length: STAYING }, async (_, i) => {
      const recipientId = `stays ${i + 1}`;
      const token = await service.token(recipientId);
      const name = `reader ${i + 1}`;
      return createRawReader({ name, recipientId, token, address: service.url, deliveries });
    }),
  );
  await Promise.all(readers.map((reader) => reader.open()));
  return { readers, deliveries };
}

/** A row for each who has a stream, all the time. */
function startWriting(postgres: Postgres, count: number) {
  let isStopped = false;
  const running = (async () => {
    while (!isStopped) {
      await postgres.query(
        "select bellwire.notify('stays ' || i, 'test', body => 'meanwhile') from generate_series(1, $1) as i",
        [count],
        "bellwire",
      );
      await delay(10);
    }
  })();
  return {
    stop() {
      isStopped = true;
      return running;
    },
  };
}

const requestOf = async (service: ServiceProcess, recipientId: string, ...headers: string[]) =>
  streamRequest({ token: await service.token(recipientId) }).replace(
    /\r\n$/,
    `${headers.map((header) => `${header}\r\n`).join("")}\r\n`,
  );

/** Each by another recipient. */
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

const COME_LATER =
  /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n[0-9a-f]+\r\nretry: (\d+)\nevent: ping\ndata: .*\n\n\r\n0\r\n\r\n$/s;

/** As fast as they are answered; what becomes of each is a stream, or a time to wait and nothing else. */
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
      const retry = COME_LATER.exec(heard)?.[1];
      if (retry) retries.push(Number(retry));
      else if (heard.includes("event: ready")) opened.push(connection);
      else throw new Error(`neither opened nor told to come later: ${heard}`);
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

/** A second begins with the first that comes in it, so that so many can have begun. */
function expectRate(opened: number, seconds: number): void {
  expect(opened).toBeGreaterThanOrEqual(RATE);
  expect(opened).toBeLessThanOrEqual(RATE * (Math.floor(seconds) + 2));
}

/** Neither what is true nor what is forged. */
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
    `${what.padEnd(32)}  ${opened.length} opened, ${retries.length} told to come later, in ${seconds.toFixed(1)} s`,
  );
}

const ms = (value: number) => `${value.toFixed(1)} ms`;
