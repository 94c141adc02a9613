import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { createRandom } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const NOTIFY = "select bellwire.notify('1', 'test', body => $1)";
/** And a NOTIFY of the application's own. */
const NOTIFY_TWICE = "select bellwire.notify('1', 'test', body => $1), pg_notify('another', '')";

/**
 * The lock that every transaction which has notified takes at its commit, one for the whole cluster, and keeps until
 * the commit is durable: `LockSharedObject(DatabaseRelationId, InvalidOid, 0, …)` in async.c.
 */
const COMMIT_LOCK = `
  select a.application_name as name, l.granted
    from pg_locks l
    join pg_stat_activity a using (pid)
   where l.locktype = 'object'
     and l.classid = 1262
     and l.objid = 0`;

test("10,000 rows in one statement are one NOTIFY, and so is a transaction of many statements", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const listener = await connect(databaseUrl, "listener");
  const writer = await connect(databaseUrl, "writer");
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
  const [row] = await postgres.query("select count(*) from bellwire.notifications", [], "bellwire");
  expect(row?.count).toBe("10100");
});

test("with wake-ups suspended nothing of ours takes the commit lock, whoever holds it", async () => {
  const { postgres, databaseUrl, service, readers } = await startAll();
  const stuck = await connect(databaseUrl, "stuck");
  const quick = await connect(databaseUrl, "quick");
  await quick.query("set synchronous_commit = local");
  await quick.query("set lock_timeout = '10s'");

  // As it is by default: one commit that waits for its standby holds up all others that notify.
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

  await postgres.query("select bellwire.suspend_wakeups()", [], "bellwire");
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
  // Until the service has probed as well.
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
  await postgres.query("select bellwire.resume_wakeups()", [], "bellwire");
  await expect
    .poll(async () => (await service.metrics())("bellwire_wakeups_suspended"), { timeout: 20_000 })
    .toBe(0);
  const levels = service.logs().filter(({ msg }) => /wake-ups are (suspended|sent)/.test(msg));
  expect(levels.map(({ level }) => level)).toEqual([40, 30]);
  const verdict = await judge({ postgresUrl: databaseUrl, readers, faultEndedAt });
  report({ fault: "commits frozen, suspended", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

test("while commits are frozen the service says so, and its probes do not pile up behind them", async () => {
  const { postgres, databaseUrl, service, readers } = await startAll();
  const stuck = await connect(databaseUrl, "stuck");
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
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 });
  const verdict = await judge({ postgresUrl: databaseUrl, readers, faultEndedAt });
  report({ fault: "commits frozen", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

async function startAll() {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({ databaseUrl });
  await service.waitUntilReady();
  const readers = await startReaders({
    streams: 2,
    recipients: ["1"],
    addresses: () => service.url,
    token: service.token,
    random: createRandom(1),
  });
  await readers.ready();
  return { postgres, databaseUrl, service, readers };
}

async function connect(url: string, name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: name });
  client.on("error", () => {}); // the query that waits is told as well
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

/**
 * Every commit now waits for a standby that will never come, unless its session does not want to. Returns when one of
 * the client "stuck" does.
 */
async function freezeCommits(postgres: Postgres, stuck: pg.Client, sql: string) {
  await postgres.query("alter system set synchronous_standby_names = 'nosuch'");
  await postgres.query("select pg_reload_conf()");
  for (let i = 0; ; i++) {
    let isCommitted = false;
    const committing = stuck.query(sql, [`stuck ${i}`]).then(() => {
      isCommitted = true;
    });
    committing.catch(() => {}); // whoever waits for it is told
    while (!isCommitted)
      if ((await waitEvent(postgres, "stuck")) === "SyncRep") return { committed: committing };
  }
}

async function thawCommits(postgres: Postgres): Promise<void> {
  await postgres.query("alter system reset synchronous_standby_names");
  await postgres.query("select pg_reload_conf()");
}

/** What a client's backend waits for. */
async function waitEvent(postgres: Postgres, name: string): Promise<string | undefined> {
  const [row] = await postgres.query<{ wait_event: string }>(
    "select wait_event from pg_stat_activity where application_name = $1",
    [name],
  );
  return row?.wait_event;
}

/** Looks at the commit lock again and again: who has held it or waited for it. */
async function watchLock(postgres: Postgres) {
  const client = await connect(postgres.url(), "watcher");
  const seen = new Set<string>();
  let samples = 0;
  let isClosed = false;
  async function run() {
    while (!isClosed) {
      const { rows } = await client.query<{ name: string }>(COMMIT_LOCK);
      for (const { name } of rows) seen.add(name);
      samples++;
      await delay(5);
    }
  }
  const running = run();
  async function close(): Promise<void> {
    isClosed = true;
    await running;
  }
  onTestFinished(close);
  return { seen, samples: () => samples, close };
}

/** What the last probe took, which tells one probe from the next. */
const probeSeconds = async (service: ServiceProcess) =>
  (await service.metrics())("bellwire_probe_seconds");
