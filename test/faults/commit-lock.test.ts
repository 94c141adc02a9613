import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { expect, test } from "vitest";
import { createRandom } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { startLoop } from "./support/loop.ts";
import type { Postgres } from "./support/postgres.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { openDatabase, openTrial } from "./support/trial.ts";

const NOTIFY = "select bellwire.notify('1', 'test', body => $1)";
/** With a NOTIFY of the application as well. */
const NOTIFY_TWICE = "select bellwire.notify('1', 'test', body => $1), pg_notify('another', '')";

/**
 * A transaction that has sent a NOTIFY takes this lock at its commit and keeps it until the commit is durable. The whole
 * cluster has one: `LockSharedObject(DatabaseRelationId, InvalidOid, 0, …)` in async.c.
 */
const COMMIT_LOCK = `
  select a.application_name as name, l.granted
    from pg_locks l
    join pg_stat_activity a using (pid)
   where l.locktype = 'object'
     and l.classid = 1262
     and l.objid = 0`;

test("a statement that writes 10,000 rows sends one NOTIFY, and so does a transaction of many statements", async () => {
  const { databaseUrl, query } = await openDatabase();
  const listener = await openClient(databaseUrl, "listener");
  const writer = await openClient(databaseUrl, "writer");
  const payloads: (string | undefined)[] = [];
  listener.on("notification", ({ payload }) => payloads.push(payload));
  await listener.query("listen bellwire");

  await writer.query(
    "insert into public.messages (sender_id, recipient_id, body) select 1, 2, i from generate_series(1, 10000) i",
  );
  await writer.query("notify bellwire, 'next'");
  await writer.query("begin");
  for (let i = 0; i < 50; i++) {
    await writer.query("savepoint here");
    await writer.query(NOTIFY, [`by hand ${i}`]);
    await writer.query("release savepoint here");
    await writer.query(
      "insert into public.messages (sender_id, recipient_id, body) values (1, 2, 'by rule')",
    );
    await writer.query(
      "update bellwire.notifications set read_at = now() where id = (select max(id) from bellwire.notifications)",
    );
  }
  await writer.query("commit");
  await writer.query("notify bellwire, 'last'");
  await expect.poll(() => payloads).toContain("last");
  expect(payloads).toEqual(["", "next", "", "last"]);
  const [row] = await query("select count(*) from bellwire.notifications");
  expect(row?.count).toBe("10100");
});

test("with wake-ups suspended neither the service nor its triggers wait for the commit lock", async () => {
  const { postgres, databaseUrl, service, query, judge, readers } = await openWatched();
  const stuck = await openClient(databaseUrl, "stuck");
  const quick = await openClient(databaseUrl, "quick");
  await quick.query("set synchronous_commit = local");
  await quick.query("set lock_timeout = '10s'");

  // By default a commit that waits for its standby delays all other commits with a NOTIFY.
  const first = await freezeCommits(postgres, stuck, NOTIFY);
  const second = quick.query(NOTIFY, ["quick"]);
  await expect.poll(() => waitEvent(postgres, "quick")).toBe("object");
  expect(await postgres.query(COMMIT_LOCK)).toEqual(
    expect.arrayContaining([
      { name: "stuck", granted: true },
      { name: "quick", granted: false },
    ]),
  );
  await thawCommits(postgres);
  await Promise.all([first.committed, second]);

  await query("select bellwire.suspend_wakeups()");
  await expect
    .poll(async () => (await service.metrics())("bellwire_wakeups_suspended"), { timeout: 20_000 })
    .toBe(1);
  const lock = await watchLock(postgres);
  const third = await freezeCommits(postgres, stuck, NOTIFY_TWICE);
  const probeBefore = await probeSeconds(service);
  for (let i = 0; i < 100; i++) {
    const startedAt = performance.now();
    await quick.query(NOTIFY, [`quick ${i}, suspended`]);
    expect(performance.now() - startedAt).toBeLessThan(1000);
  }
  // Wait until the service has sent a probe as well.
  await expect.poll(() => probeSeconds(service), { timeout: 20_000 }).not.toBe(probeBefore);
  await delay(3000);
  await lock.close();
  expect(lock.samples()).toBeGreaterThan(100);
  expect([...lock.seen]).toEqual(["stuck"]);
  expect((await service.readiness()).status).toBe(200);

  const faultEndedAt = performance.now();
  await thawCommits(postgres);
  await third.committed;
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 });
  await query("select bellwire.resume_wakeups()");
  await expect
    .poll(async () => (await service.metrics())("bellwire_wakeups_suspended"), { timeout: 20_000 })
    .toBe(0);
  const levels = service.logs().filter(({ msg }) => /wake-ups are (suspended|sent)/.test(msg));
  expect(levels.map(({ level }) => level)).toEqual([40, 30]);
  const verdict = await judge({ readers, faultEndedAt, timeoutMs: 30_000 });
  report({ fault: "commits frozen, suspended", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

test("a writer with a lock_timeout loses its commit to one that waits for its standby, unless wake-ups are suspended", async () => {
  const { postgres, databaseUrl, query } = await openDatabase();
  const stuck = await openClient(databaseUrl, "stuck");
  const writer = await openClient(databaseUrl, "writer");
  await writer.query("set synchronous_commit = local");
  await writer.query("set lock_timeout = '100ms'");
  const { committed } = await freezeCommits(postgres, stuck, NOTIFY);
  await expect(writer.query(NOTIFY, ["a writer"])).rejects.toMatchObject({ code: "55P03" });
  await writer.query("select bellwire.suspend_wakeups()");
  await writer.query(NOTIFY, ["the same writer"]);
  await thawCommits(postgres);
  await committed;
  // More than one of these may be there: the settings are reloaded at some time.
  const written = "select body from bellwire.notifications where body not like 'stuck %'";
  expect(await query(written)).toEqual([{ body: "the same writer" }]);
});

test("while commits hang /readyz is 503, and the service's probes do not pile up", async () => {
  const { postgres, databaseUrl, service, judge, readers } = await openWatched();
  const stuck = await openClient(databaseUrl, "stuck");
  const { committed } = await freezeCommits(postgres, stuck, NOTIFY);
  const frozenAt = performance.now();
  await expect.poll(async () => (await service.readiness()).status, { timeout: 25_000 }).toBe(503);
  expect(performance.now() - frozenAt).toBeLessThan(20_000);
  expect((await service.metrics())("bellwire_listener_up")).toBe(0);

  const waiting: number[] = [];
  while (performance.now() - frozenAt < 45_000) {
    const rows = await postgres.query<{ name: string }>(COMMIT_LOCK);
    waiting.push(rows.filter(({ name }) => name === "bellwire").length);
    await delay(200);
  }
  expect(Math.max(...waiting)).toBe(1);

  const faultEndedAt = performance.now();
  await thawCommits(postgres);
  await committed;
  await expect.poll(async () => (await service.readiness()).status, { timeout: 20_000 }).toBe(200);
  expect((await service.metrics())("bellwire_listener_up")).toBe(1);
  const said = service.logs().map(({ msg }) => msg);
  const changes = said.filter((msg) => msg === "listening" || msg === "not listening");
  expect(changes).toEqual(["listening", "not listening", "listening"]);
  const verdict = await judge({ readers, faultEndedAt, timeoutMs: 30_000 });
  report({ fault: "commits frozen", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

async function openWatched() {
  const trial = await openTrial();
  const random = createRandom(1);
  const readers = await openReaders(trial.service, { streams: 2, recipients: ["1"], random });
  return { ...trial, readers };
}

/**
 * From now on every commit waits for a standby that does not exist, unless its session has `synchronous_commit = local`.
 * Resolves when a commit of the client "stuck" waits.
 */
async function freezeCommits(postgres: Postgres, stuck: pg.Client, sql: string) {
  await postgres.query("alter system set synchronous_standby_names = 'nosuch'");
  await postgres.query("select pg_reload_conf()");
  for (let i = 0; ; i++) {
    let isCommitted = false;
    const committing = stuck.query(sql, [`stuck ${i}`]).then(() => {
      isCommitted = true;
    });
    committing.catch(() => {}); // the caller awaits it
    while (!isCommitted)
      if ((await waitEvent(postgres, "stuck")) === "SyncRep") return { committed: committing };
  }
}

async function thawCommits(postgres: Postgres): Promise<void> {
  await postgres.query("alter system reset synchronous_standby_names");
  await postgres.query("select pg_reload_conf()");
}

/** What the backend of a client waits for. */
async function waitEvent(postgres: Postgres, name: string): Promise<string | undefined> {
  const [row] = await postgres.query<{ wait_event: string }>(
    "select wait_event from pg_stat_activity where application_name = $1",
    [name],
  );
  return row?.wait_event;
}

/** Collects the sessions that hold the commit lock or wait for it. */
async function watchLock(postgres: Postgres) {
  const client = await openClient(postgres.url(), "watcher");
  const seen = new Set<string>();
  let samples = 0;
  const { close } = startLoop(async () => {
    const { rows } = await client.query<{ name: string }>(COMMIT_LOCK);
    for (const { name } of rows) seen.add(name);
    samples++;
    await delay(5);
  });
  return { seen, samples: () => samples, close };
}

/** The duration of the last probe. It changes with each probe. */
const probeSeconds = async (service: ServiceProcess) =>
  (await service.metrics())("bellwire_probe_seconds");
