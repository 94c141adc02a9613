import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { asService } from "../../src/db/pool.ts";
import { CLI } from "../support/cli.ts";
import { openStream } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { createEventReader, type StreamBlock } from "./support/event-reader.ts";
import { createResponseReader } from "./support/http-response.ts";
import { streamRequest } from "./support/raw-stream.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { type Database, openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const KB = 1024;
const MAX_BUFFERED_BYTES = 256 * KB;

test("a client that missed 100,000 rows is reset at once, and ten of them need little memory", async () => {
  const { service, query } = await openTrial();
  const lastEventId = await readyId(service);
  await insertRows(query, { count: 100_000, bytes: 200 });
  await restartFresh(service);
  const memory = watchMemory(service);

  const alone = await openRaw(service, lastEventId);
  await alone.until(() => alone.events.length === 2);
  const resetMs = Math.round(performance.now() - alone.openedAt);
  const others = await Promise.all(Array.from({ length: 9 }, () => openRaw(service, lastEventId)));
  for (const stream of others) await stream.until(() => stream.events.length === 2);
  const grownMb = memory.close();

  const firstByteMs = Math.round(alone.firstByteMs());
  const name = `100,000 missed, first byte ${firstByteMs} ms, reset ${resetMs} ms, +${grownMb} MB`;
  report({ fault: name, verdict: {} });
  for (const { events } of [alone, ...others]) expect(events).toEqual(["ready", "too_many"]);
  expect(firstByteMs).toBeLessThan(1000);
  expect(grownMb).toBeLessThan(50);
}, 120_000);

test("a slow client that missed 15,000 rows gets each once, in order, and needs little memory", async () => {
  // The heap is smaller than the missed rows, and garbage cannot accumulate in it.
  const { service, query } = await openTrial({
    env: { REPLAY_LIMIT: "20000", NODE_OPTIONS: "--max-old-space-size=64" },
  });
  const lastEventId = await readyId(service);
  await insertRows(query, { count: 15_000, bytes: 4 * KB });
  await restartFresh(service);
  const memory = watchMemory(service);

  const stream = await openRaw(service, lastEventId, { bytesPerSecond: 8000 * KB });
  await stream.until(() => stream.events.length > 10_000, 60_000);
  // More rows are written before the replay ends.
  await insertRows(query, { count: 100, bytes: 10 });
  await stream.until(() => stream.events.length >= 15_101, 60_000);
  const seconds = (performance.now() - stream.openedAt) / 1000;
  const grownMb = memory.close();
  expect(service.exits).toEqual([]);

  const rows = await query<{ id: string }>("select id from bellwire.notifications order by id");
  expect(stream.events).toEqual(["ready", ...rows.map(({ id }) => id)]);
  const [sent, delivered] = [rows.length, stream.events.length - 1];
  const name = `slow replay in ${Math.round(seconds)} s, +${grownMb} MB`;
  report({ fault: name, verdict: { sent, delivered, lost: 0, repeated: 0 } });
  expect(seconds).toBeGreaterThan(4); // otherwise the client was not slow
  expect(memory.greatestBufferedBytes()).toBeLessThan(MAX_BUFFERED_BYTES + 10 * KB);
  expect(grownMb).toBeLessThan(50);
}, 180_000);

test("prune under load deletes only old rows, and no stream notices", async () => {
  const [seed = 0] = seeds();
  const random = createRandom(seed);
  const recipients = Array.from({ length: 10 }, (_, i) => `${i + 1}`);
  const { databaseUrl, service, query, judge } = await openTrial({
    env: { MAX_STREAMS_PER_RECIPIENT: "100" },
  });
  await insertRows(query, { count: 60_000, bytes: 100, daysOld: 31 });
  const [last] = await query<{ id: string }>("select max(id) as id from bellwire.notifications");
  const since = last?.id ?? "";
  await restartFresh(service);
  const readers = await openReaders(service, {
    streams: 20,
    recipients,
    random: random.fork(),
    cutAfterBytes: [200, 20_000],
  });
  const writers = await startWriters({
    url: databaseUrl,
    count: 8,
    recipients,
    random: random.fork(),
  });
  await readers.until(() => readers.deliveries.length > 100, 30_000);
  const shownBefore = readers.deliveries.length;
  const [first] = await query<{ pruned: string }>(
    "select bellwire.prune(now() - interval '30 days') as pruned",
    [],
  );
  expect(first?.pruned).toBe("1000"); // one batch, the longest wait for others
  const said = await prune(databaseUrl, 30);
  const shownMeanwhile = readers.deliveries.length - shownBefore;
  await prune(databaseUrl, 30);
  await writers.stop();

  const verdict = await judge({ readers, writers, since, timeoutMs: 60_000 });
  report({ fault: "pruning under load", seed, verdict });
  expect(said).toBe("Deleted 59000 notifications older than 30 days.\n");
  expect(shownMeanwhile).toBeGreaterThan(0);
  expectExact(verdict);
}, 180_000);

test("a cursor from before pruned rows is expired, and a later one is not", async () => {
  const { databaseUrl, service, query } = await openTrial();
  const before = await readyId(service);
  await insertRows(query, { count: 5, bytes: 10 });
  await query("update bellwire.notifications set created_at = now() - interval '31 days'");
  const between = await readyId(service);
  await insertRows(query, { count: 3, bytes: 10 });
  expect(await prune(databaseUrl, 30)).toBe("Deleted 5 notifications older than 30 days.\n");

  const expired = await openRaw(service, before);
  await expired.until(() => expired.events.length === 2);
  expect(expired.events).toEqual(["ready", "cursor_expired"]);
  const kept = await openRaw(service, between);
  await kept.until(() => kept.events.length === 5);
  // This client has the pruned rows.
  expect(kept.events).toEqual(["ready", "state", "6", "7", "8"]);
}, 60_000);

interface Rows {
  count: number;
  /** The length of each body. */
  bytes: number;
  daysOld?: number;
}

/** For recipient 1, in one statement. */
async function insertRows(
  query: Database["query"],
  { count, bytes, daysOld = 0 }: Rows,
): Promise<void> {
  await query(
    `with told as (
       insert into bellwire.notifications (recipient_id, type, title, body, created_at)
       select '1', 'test', 'Test', repeat('x', $2), now() - make_interval(days => $3)
         from generate_series(1, $1)
     )
     select bellwire.wake_listeners()`,
    [count, bytes, daysOld],
  );
}

/** Memory is measured in a new process, once its code is compiled. */
async function restartFresh(service: ServiceProcess): Promise<void> {
  await service.restart("SIGTERM");
  await service.waitUntilReady();
  for (let i = 0; i < 20; i++) await readyId(service);
}

async function readyId(service: ServiceProcess): Promise<string> {
  const stream = await openStream(service, "1");
  const { id } = await stream.waitFor(({ event }) => event === "ready");
  stream.close();
  return id ?? "";
}

/** The largest growth of the process that the kernel reports. It is 0 where there is no /proc. */
function watchMemory(service: ServiceProcess) {
  const status = `/proc/${service.pid()}/status`;
  const readMb = () =>
    existsSync(status)
      ? Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(status, "utf8"))?.[1]) / KB
      : 0;
  const before = readMb();
  let greatestMb = before;
  let greatestBufferedBytes = 0;
  const sampling = setInterval(() => {
    greatestMb = Math.max(greatestMb, readMb());
  }, 20);
  const asking = setInterval(async () => {
    const metrics = await service.metrics().catch(() => undefined);
    const bytes = metrics?.("bellwire_buffered_bytes") ?? Number.POSITIVE_INFINITY; // the process has ended
    greatestBufferedBytes = Math.max(greatestBufferedBytes, bytes);
  }, 200);
  const close = () => {
    clearInterval(sampling);
    clearInterval(asking);
    return Math.round(greatestMb - before);
  };
  onTestFinished(() => void close());
  return { close, greatestBufferedBytes: () => greatestBufferedBytes };
}

/** A stream that can read slowly. Its events are ids of notifications, reasons of resets, or names. */
async function openRaw(
  service: ServiceProcess,
  lastEventId: string,
  { bytesPerSecond = Number.POSITIVE_INFINITY } = {},
) {
  const token = await service.token("1");
  const openedAt = performance.now();
  const socket = connect({ host: "127.0.0.1", port: service.port });
  onTestFinished(() => void socket.destroy());
  const events: string[] = [];
  let firstByteAt: number | undefined;

  function onBlock({ event, data }: StreamBlock) {
    if (data === undefined || event === "ping") return;
    const { id, reason } = JSON.parse(data);
    events.push(id ?? reason ?? event);
  }
  const read = createResponseReader({
    onHead: (status) => expect(status).toBe(200),
    onBody: createEventReader(onBlock),
    onEnd: () => {},
  });
  socket.on("data", (bytes) => {
    firstByteAt ??= performance.now();
    read(bytes);
    if (bytesPerSecond === Number.POSITIVE_INFINITY) return;
    socket.pause();
    setTimeout(() => socket.resume(), (bytes.length * 1000) / bytesPerSecond);
  });
  socket.on("error", () => {}); // the test fails because nothing arrives any more
  socket.write(streamRequest({ token, lastEventId }));

  return {
    events,
    openedAt,
    firstByteMs: () => (firstByteAt ?? Number.POSITIVE_INFINITY) - openedAt,
    async until(fits: () => boolean, timeoutMs = 20_000): Promise<void> {
      const end = performance.now() + timeoutMs;
      while (!fits()) {
        if (performance.now() > end) throw new Error(`only ${events.length} events came: ${fits}`);
        await delay(10);
      }
    },
  };
}

/** Runs `npx bellwire prune` and returns its output. */
async function prune(databaseUrl: string, retentionDays: number): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, "prune"], {
    cwd: tmpdir(), // away from any `.env`
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: asService(databaseUrl),
      JWT_SECRET: "a secret that is long enough for HS256",
      RETENTION_DAYS: `${retentionDays}`,
    },
  });
  return stdout;
}
