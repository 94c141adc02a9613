import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectExact, judge } from "./support/checker.ts";
import { createProbe, type Probe, p99, type Waits } from "./support/probe.ts";
import { openConnection, parseAnswer, type RawConnection } from "./support/raw-connection.ts";
import { createRawReaders } from "./support/raw-stream.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";

const SLOW_HEADS = 500;
const SLOW_BODIES = 100;
const SILENT = 5000;
const GONE_WITHIN_MS = 20_000;
/** An idle connection and a stream may last longer than any request. */
const IDLE_MS = 30_000;

/** The service's connections to the database, some of which it opens and closes as needed. */
const POOLED = 13;

const PROBLEM = "application/problem+json; charset=utf-8";
const TIMEOUT = { status: 408, type: PROBLEM, code: "request_timeout" };
const TOO_LARGE = { status: 413, type: PROBLEM, code: "body_too_large" };
const TOO_LONG = { status: 431, type: PROBLEM, code: "headers_too_large" };

test("600 requests that send a byte a second are closed within 20 s; others do not wait, and idle connections stay", async () => {
  const { service, databaseUrl, token, probe } = await openProbed();
  const usual = await probe.measure(300);
  const before = await look(service);
  const ping = head("GET /api/notifications/unread-count", token);
  const idle = openConnection(service.port);
  expect((await idle.ask(ping))?.status).toBe(200);
  const idleFrom = performance.now();

  const lazyHead = head("GET /api/notifications/unread-count", token);
  const lazyBody = head("POST /api/notifications/mark-all-read", token, "Content-Length: 100");
  const slow = [
    ...Array.from({ length: SLOW_HEADS }, () => say(service, "", lazyHead)),
    ...Array.from({ length: SLOW_BODIES }, () => say(service, lazyBody, " ".repeat(100))),
  ];
  const { goneMs, waits } = await measureUntilGone(slow, probe);
  const answers = slow.map(({ heard }) => problemIn(heard()));

  await delay(Math.max(0, IDLE_MS - (performance.now() - idleFrom)));
  expect((await idle.ask(ping))?.status).toBe(200);
  await idle.close();
  // The probe's stream is even older.
  expect(probe.isOpen()).toBe(true);
  await expectBackTo(before, service);

  const verdict = await judge({ postgresUrl: databaseUrl, readers: probe.log });
  report({ fault: "600 slow requests", verdict });
  const answered = answers.filter((answer) => answer !== undefined);
  console.log(
    `  ${answered.length} answered 408, ${slow.length - answered.length} cut, the last after ${seconds(goneMs)}; ` +
      `${describe(usual, waits)}; ${before.fds} file descriptors and ${before.handles} handles before and after`,
  );
  expectExact(verdict, { minReconnects: 0 });
  expect(answers.slice(0, SLOW_HEADS)).toEqual(Array(SLOW_HEADS).fill(TIMEOUT));
  for (const answer of answered) expect(answer).toEqual(TIMEOUT);
  expect(goneMs).toBeLessThan(GONE_WITHIN_MS);
  expectUnharmed(usual, waits);
  expect(service.exits).toEqual([]);
});

test("5000 connections that send nothing are closed within 20 s, and others do not wait", async () => {
  const { service, databaseUrl, probe } = await openProbed();
  const usual = await probe.measure(300);
  const before = await look(service);
  const silent = Array.from({ length: SILENT }, () => say(service, "", ""));
  await Promise.all(silent.map(({ connected }) => connected));
  // The kernel accepts a connection before the service does.
  let fds = 0;
  while (fds < before.fds + SILENT && silent.every((connection) => connection.isOpen()))
    ({ fds } = await look(service));
  const { goneMs, waits } = await measureUntilGone(silent, probe);
  await expectBackTo(before, service);

  const verdict = await judge({ postgresUrl: databaseUrl, readers: probe.log });
  report({ fault: "5000 silent connections", verdict });
  console.log(
    `  the last gone after ${seconds(goneMs)}; ${describe(usual, waits)}; ` +
      `${before.fds} file descriptors before and after, ${fds} meanwhile`,
  );
  expectExact(verdict, { minReconnects: 0 });
  expect(fds).toBeGreaterThanOrEqual(before.fds + SILENT);
  expect(goneMs).toBeLessThan(GONE_WITHIN_MS);
  expectUnharmed(usual, waits);
  expect(service.exits).toEqual([]);
});

test("a body of 1 MB, with or without its length, and headers of 17 KB are refused before they have arrived", async () => {
  const { service, token } = await openProbed();
  const before = await look(service);
  const post = "POST /api/notifications/mark-all-read";
  const sized = head(post, token, "Content-Length: 1000000");
  const chunked = head(post, token, "Transfer-Encoding: chunked");
  const chunk = `4e20\r\n${" ".repeat(20_000)}\r\n`;
  const long = "x".repeat(17_000);
  const refusals = [
    [sized, TOO_LARGE],
    [sized + " ".repeat(1_000_000), TOO_LARGE],
    [chunked + chunk, TOO_LARGE],
    [`${chunked}${chunk.repeat(50)}0\r\n\r\n`, TOO_LARGE],
    [head("GET /livez", token, `X-Long: ${long}`), TOO_LONG],
    [head(`GET /livez?${long}`, token), TOO_LONG],
  ] as const;
  for (const [request, refusal] of refusals) {
    const connection = openConnection(service.port);
    await connection.ask(request);
    expect(problemIn(connection.heard())).toEqual(refusal);
    await connection.close();
  }

  // A client that continues to send is cut.
  const flood = openConnection(service.port);
  flood.say(chunked);
  while (flood.isOpen()) {
    flood.say(chunk);
    await delay(1);
  }
  expect(problemIn(flood.heard())).toEqual(TOO_LARGE);
  const floodMs = await flood.closed;
  await expectBackTo(before, service);
  console.log(
    `bodies of 1 MB, heads of 17 KB    refused with 413 and 431; a client that goes on is cut after ${seconds(floodMs)}`,
  );
  expect(floodMs).toBeLessThan(5000);
  expect(service.exits).toEqual([]);
});

type Look = Awaited<ReturnType<typeof look>>;

async function expectBackTo(before: Look, service: ServiceProcess): Promise<void> {
  const grown = async () => {
    const now = await look(service);
    return Math.max(
      now.streams - before.streams,
      now.fds - before.fds,
      now.handles - before.handles,
    );
  };
  await expect.poll(grown, { timeout: 15_000 }).toBeLessThanOrEqual(POOLED);
}

async function openProbed() {
  const { databaseUrl, service } = await openTrial();
  const token = await service.token("1");
  await fillPools(service, token);
  return { service, databaseUrl, token, probe: await createProbe({ service, databaseUrl }) };
}

/** Opens the connections that the service keeps between requests. */
async function fillPools(service: ServiceProcess, token: string): Promise<void> {
  const open = async () => {
    const connection = openConnection(service.port);
    await connection.ask(head("GET /api/notifications", token));
    await connection.close();
  };
  await Promise.all(Array.from({ length: 50 }, open));
  const { readers } = await createRawReaders(service, ["1"], 10);
  await Promise.all(readers.map((reader) => reader.open()));
  await Promise.all(readers.map((reader) => reader.close()));
  await expect.poll(async () => (await look(service)).streams).toBe(0);
}

async function look(service: ServiceProcess) {
  const metrics = await service.metrics();
  return {
    streams: metrics("bellwire_streams"),
    fds: metrics("process_open_fds"),
    handles: metrics("nodejs_active_handles_total"),
  };
}

const head = (line: string, token: string, ...headers: string[]) =>
  [
    `${line} HTTP/1.1`,
    "Host: bellwire.test",
    `Authorization: Bearer ${token}`,
    "Content-Type: application/json",
    ...headers,
    "\r\n",
  ].join("\r\n");

/** A connection that sends one text at once, and another at a byte a second. */
function say(service: ServiceProcess, atOnce: string, slowly: string): RawConnection {
  const connection = openConnection(service.port);
  if (atOnce) connection.say(atOnce);
  let sent = 0;
  const saying = setInterval(() => connection.say(slowly.slice(sent, ++sent)), 1000);
  void connection.closed.finally(() => clearInterval(saying));
  return connection;
}

/** How long other clients wait meanwhile, and when the last of these connections was closed. */
async function measureUntilGone(connections: readonly RawConnection[], probe: Probe) {
  const waits: Waits = { answers: [], messages: [] };
  while (connections.some((connection) => connection.isOpen())) {
    const { answers, messages } = await probe.measure(10);
    waits.answers.push(...answers);
    waits.messages.push(...messages);
  }
  const goneAfterMs = await Promise.all(connections.map(({ closed }) => closed));
  return { waits, goneMs: Math.max(...goneAfterMs) };
}

function problemIn(heard: string) {
  const answer = parseAnswer(heard);
  return answer && { status: answer.status, type: answer.type, code: JSON.parse(answer.body).code };
}

function expectUnharmed(usual: Waits, meanwhile: Waits): void {
  for (const kind of ["answers", "messages"] as const)
    expect(p99(meanwhile[kind]), kind).toBeLessThan(10 * Math.max(p99(usual[kind]), 20));
}

const describe = (usual: Waits, meanwhile: Waits) =>
  `p99 of others' answers ${ms(p99(usual.answers))}, then ${ms(p99(meanwhile.answers))}, ` +
  `of their messages ${ms(p99(usual.messages))}, then ${ms(p99(meanwhile.messages))}`;

const seconds = (value: number) => `${(value / 1000).toFixed(1)} s`;
const ms = (value: number) => `${value.toFixed(1)} ms`;
