import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { expect, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import { call } from "../support/service.ts";
import { expectExact } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { startForwarder } from "./support/forwarder.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { openDatabase, openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

/** Only a commit flushes the WAL, so after a crash PostgreSQL reuses the ids of the last rollbacks. */
const LAZY_LOG = {
  wal_level: "minimal",
  max_wal_senders: 0,
  wal_writer_delay: "10s",
  wal_writer_flush_after: "1GB",
  autovacuum: "off",
};
const NOTIFY = "select bellwire.notify('1', 'test', body => $1)";

test("a transaction id that is reused after a crash hides no row", async () => {
  const [seed = 0] = seeds();
  const { postgres, databaseUrl, urlAt, judge } = await openDatabase({ settings: LAZY_LOG });
  const forwarder = await startForwarder(postgres.port);
  const service = await startServiceProcess({
    databaseUrl: urlAt(forwarder.port),
    env: { SWEEP_MS: "50" },
  });
  await service.waitUntilReady();
  const readers = await openReaders(service, {
    streams: 1,
    recipients: ["1"],
    random: createRandom(seed),
  });
  let reused = 0;

  for (const round of [1, 2, 3, 4]) {
    const before = await openClient(databaseUrl);
    await before.query(NOTIFY, [`before ${round}`]);
    const taken = await rollBack(before, 40);
    // Positions after those ids have ended: the feed's, which its readers get, a new stream's, and a list's.
    const countReads = async () => (await service.metrics())("bellwire_reads_total");
    const reads = await countReads();
    await expect.poll(countReads, { timeout: 10_000 }).toBeGreaterThan(reads + 2);
    const positions = [await readyId(service), (await call(service, "1", "")).body.cursor];

    forwarder.refuse();
    forwarder.cutAll();
    await postgres.restart("immediate");
    const after = await openClient(databaseUrl);
    const bodies = Array.from({ length: 60 }, (_, i) => `after ${round}, ${i}`);
    for (const body of bodies) await after.query(NOTIFY, [body]);
    reused += await countCreatedBy(after, taken);
    forwarder.accept();
    if (round % 2 === 0) await service.restart("SIGKILL");
    await service.waitUntilReady();

    const last = `last ${round}`;
    await after.query(NOTIFY, [last]);
    for (const position of positions)
      expect(await shownSince(service, position, last)).toEqual([...bodies, last]);
  }

  const verdict = await judge({ readers, timeoutMs: 30_000 });
  report({ fault: `crash, ${reused} ids given again`, verdict });
  expectExact(verdict);
  expect(reused).toBeGreaterThan(100);
}, 120_000);

test("a transaction id that is reused after a crash hides no row after a reset", async () => {
  const old = await openDatabase();
  const { postgres, databaseUrl } = await openDatabase({ settings: LAZY_LOG });
  const forwarder = await startForwarder(old.postgres.port);
  const service = await startServiceProcess({
    databaseUrl: old.urlAt(forwarder.port),
    env: { SWEEP_MS: "50" },
  });
  await service.waitUntilReady();
  const readers = await openReaders(service, {
    streams: 1,
    recipients: ["1"],
    random: createRandom(1),
  });
  const before = await openClient(databaseUrl);
  await before.query(NOTIFY, ["before"]);
  const taken = await rollBack(before, 40);
  forwarder.pointTo(postgres.port);
  forwarder.cutAll();
  await readers.until(() => readers.resets.length === 1, 20_000);

  forwarder.refuse();
  forwarder.cutAll();
  await postgres.restart("immediate");
  const after = await openClient(databaseUrl);
  const bodies = Array.from({ length: 60 }, (_, i) => `after ${i}`);
  for (const body of bodies) await after.query(NOTIFY, [body]);
  const reused = await countCreatedBy(after, taken);
  forwarder.accept();
  await service.waitUntilReady();
  await after.query(NOTIFY, ["last"]);
  await readers.until(() => readers.deliveries.at(-1)?.body === "last", 20_000);
  const [sent, delivered] = [bodies.length + 1, readers.deliveries.length];
  report({ fault: `replaced, then ${reused} ids given again`, verdict: { sent, delivered } });
  expect(readers.deliveries.map(({ body }) => body)).toEqual([...bodies, "last"]);
  expect(readers.resets.length).toBe(1);
  // bellwire.begin_history() committed after them, so the crash does not free these ids.
  expect(reused).toBe(0);
}, 120_000);

test.each(seeds())(
  "crashes during rollbacks lose and repeat no row and show none that was rolled back, seed %i",
  async (seed) => {
    const random = createRandom(seed);
    const recipients = Array.from({ length: 10 }, (_, i) => `${i + 1}`);
    const { postgres, databaseUrl, service, judge } = await openTrial({
      settings: LAZY_LOG,
      env: { SWEEP_MS: "50", MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" },
    });
    const readers = await openReaders(service, {
      streams: 20,
      recipients,
      random: random.fork(),
      cutAfterBytes: [200, 2500],
    });
    const writers = await startWriters({
      url: databaseUrl,
      count: 4,
      recipients,
      random: random.fork(),
      pauseMs: [100, 500],
    });

    const taken = new Set<string>();
    for (let crash = 1; crash <= 8; crash++) {
      const rolling = Array.from({ length: 4 }, () => rollBackUntilCut(databaseUrl, taken));
      await delay(random.between(200, 1000));
      await postgres.restart("immediate");
      await Promise.all(rolling);
      if (random.chance(0.3)) await service.restart("SIGKILL");
      await delay(random.between(200, 1500)); // now the writers get the reused ids
    }
    const faultEndedAt = performance.now();
    await service.waitUntilReady();
    await writers.stop();

    const verdict = await judge({ readers, writers, faultEndedAt, timeoutMs: 60_000 });
    const reused = await countCreatedBy(await openClient(databaseUrl), [...taken]);
    report({ fault: `8 crashes, ${reused} ids given again`, seed, verdict });
    expectExact(verdict, { minReconnects: 40 });
    expect(reused).toBeGreaterThan(0);
  },
);

/** Returns the ids of the transactions. */
async function rollBack(client: pg.Client, times: number): Promise<string[]> {
  const xids: string[] = [];
  for (let i = 0; i < times; i++) {
    await client.query("begin");
    await client.query(NOTIFY, ["rolled back"]);
    const { rows } = await client.query("select pg_current_xact_id() as xid");
    xids.push(rows[0].xid);
    await client.query("rollback");
  }
  return xids;
}

async function rollBackUntilCut(url: string, taken: Set<string>): Promise<void> {
  const client = await openClient(url);
  try {
    for (;;) for (const xid of await rollBack(client, 1)) taken.add(xid);
  } catch {} // the crash
}

async function countCreatedBy(client: pg.Client, xids: readonly string[]): Promise<number> {
  const { rows } = await client.query<{ count: string }>(
    "select count(*) from bellwire.notifications where created_xid::text = any ($1)",
    [xids],
  );
  return Number(rows[0]?.count);
}

async function readyId(service: ServiceProcess): Promise<string> {
  const stream = await openStream(service, "1");
  const { id } = await stream.waitFor(({ event }) => event === "ready");
  stream.close();
  return id ?? "";
}

/** The bodies that a stream from this position shows, up to `last`. */
async function shownSince(
  service: ServiceProcess,
  lastEventId: string,
  last: string,
): Promise<string[]> {
  const stream = await openStream(service, "1", { lastEventId });
  await stream.waitFor(({ data }) => data.body === last);
  stream.close();
  return stream.events.slice(1).map(({ event, data }) => data.body ?? event);
}
