import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { expect, test } from "vitest";
import { createRandom } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { startLoop } from "./support/loop.ts";
import type { Postgres } from "./support/postgres.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { openTrial } from "./support/trial.ts";

/** The minimum: half a megabyte instead of 8 GB. The service warns when a tenth of it is full. */
const SETTINGS = { max_notify_queue_pages: 64 };
/** Fills a page of the queue. */
const LONG = "x".repeat(7900);
const NOTIFY = "select bellwire.notify('1', 'test', body => $1)";

test("the log warns once of a session that listens and does not read, and reports its end once", async () => {
  const { postgres, databaseUrl, service, judge, readers, writer } = await openWatched();
  const backend = await watchListener(postgres);
  const sleeper = await openClient(databaseUrl);
  await sleeper.query("listen another");
  await sleeper.query("begin");

  for (let i = 0; i < 20; i++) await writer.query("select pg_notify('another', $1)", [LONG + i]);
  await expect
    .poll(() => queueUsage(service), { timeout: 20_000, interval: 200 })
    .toBeGreaterThan(0.1);
  // The service's own session listens and reads, so the service stays ready.
  const { status, body } = await service.readiness();
  expect(status).toBe(200);
  expect(body).toMatchObject({ warnings: [expect.stringContaining("notification queue")] });
  // Wait until another probe has seen the same.
  for (let i = 0; i < 240; i++) {
    await writer.query(NOTIFY, [`${i}`]);
    await delay(50);
  }
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 1000 });

  const faultEndedAt = performance.now();
  await sleeper.query("commit");
  await expect
    .poll(() => queueUsage(service), { timeout: 20_000, interval: 200 })
    .toBeLessThan(0.02);
  expect(levelsOfQueueLines(service)).toEqual([40, 30]);
  await backend.close();
  expect(backend.samples()).toBeGreaterThan(200);
  expect([...backend.states]).toEqual(["idle"]);
  // PostgreSQL reads the queue in a short transaction of its own, which ends before the next sample.
  expect(Math.max(0, ...backend.transactions.values())).toBeLessThan(3);
  const verdict = await judge({ readers, faultEndedAt, timeoutMs: 10_000 });
  report({ fault: "a listener that does not read", verdict });
  expectExact(verdict, { minReconnects: 0 });
});

test("a service that was stopped for 30 s continues, its queue empties, and each row arrives once", async () => {
  const { postgres, databaseUrl, service, readers, writer } = await openWatched();
  const backend = await watchListener(postgres);
  const pid = service.pid();
  service.signal("SIGSTOP");
  const stoppedAt = performance.now();
  // The kernel's buffers fill first. They take some megabytes, and seconds later perhaps some tens more.
  let sent = 0;
  for (;;) {
    const isFull = await isHeldUp(writer);
    if (isFull && performance.now() - stoppedAt > 30_000) break;
    if (isFull) await delay(100);
    else {
      await writer.query("select pg_notify('bellwire', $1)", [LONG + sent++]);
      if (sent % 100 === 0) await writer.query(NOTIFY, [`${sent}`]);
      expect(sent).toBeLessThan(20_000);
    }
  }

  const faultEndedAt = performance.now();
  service.signal("SIGCONT");
  await expect.poll(() => serverUsage(writer), { timeout: 20_000 }).toBeLessThan(0.02);
  const emptyMs = performance.now() - faultEndedAt;
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 });
  await expect
    .poll(() => queueUsage(service), { timeout: 20_000, interval: 200 })
    .toBeLessThan(0.02);
  await service.waitUntilReady(20_000);
  expect(service.pid()).toBe(pid);
  await backend.close();
  expect([...backend.states]).toEqual(["idle"]);
  const verdict = await judge({ postgresUrl: databaseUrl, readers, faultEndedAt });
  report({ fault: "stopped, and its queue fills", verdict });
  console.log(
    `  ${sent} long payloads until the queue grew; empty again after ${Math.round(emptyMs)} ms`,
  );
  expectExact(verdict, { minReconnects: 0 });
});

test("a full queue fails no write: the service suspends wake-ups, names the session, and resumes when the session ends", async () => {
  const { postgres, databaseUrl, service, judge, readers, writer } = await openWatched();
  await postgres.query("create role somebody login password 'somebody'");
  const sleeper = await openClient(
    postgres.url().replace("postgres:postgres@", "somebody:somebody@"),
  );
  await writer.query(
    "insert into public.users (id, name) overriding system value values (1, 'One'), (2, 'Two') on conflict do nothing",
  );
  // In another database, as a role without any rights.
  await sleeper.query("listen another");
  await sleeper.query("begin");
  const { rows } = await sleeper.query("select pg_backend_pid() as pid");
  const { pid } = rows[0];

  for (let i = 0; i < 36; i++) await writer.query("select pg_notify('another', $1)", [LONG + i]);
  const isSuspended = async () => (await service.metrics())("bellwire_wakeups_suspended");
  await expect.poll(isSuspended, { timeout: 10_000, interval: 100 }).toBe(1);
  // Another session fills the queue to its last page.
  const full = await fillUp(writer);
  expect(full.code).toBe("54000");
  const [row] = (await writer.query("select bellwire.notify('1', 'test')::text as id")).rows;
  const headers = {
    authorization: `Bearer ${await service.token("1")}`,
    "content-type": "application/json",
  };
  const mark = () =>
    fetch(`${service.url}/api/notifications/${row.id}`, {
      method: "PATCH",
      headers,
      body: JSON.stringify({ read: true }),
    }).then(({ status }) => status);
  const statuses = new Map<number, number>();
  const startedAt = performance.now();
  // For longer than two probes and than any suspension lasts.
  for (let i = 0; performance.now() - startedAt < 25_000; i++) {
    await writer.query(NOTIFY, [`${i}`]);
    await writer.query(
      "insert into public.messages (sender_id, recipient_id, body) values (2, 1, 'x')",
    );
    const status = i % 2 ? await mark() : (await service.readiness()).status;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    await delay(50);
  }
  expect([...statuses.keys()]).toEqual([200]);
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 5000 });
  const { body } = await service.readiness();
  expect(body).toMatchObject({
    problems: [],
    warnings: [expect.stringContaining(`pid ${pid}, role somebody`)],
  });

  // PostgreSQL tells members of pg_monitor more.
  await postgres.query("grant pg_monitor to bellwire_service");
  const warnings = async () => JSON.stringify((await service.readiness()).body);
  await expect
    .poll(warnings, { timeout: 10_000 })
    .toMatch(/role somebody, database postgres, idle in transaction since 20/);

  // A service that starts now suspends wake-ups as well.
  await service.restart("SIGTERM");
  await service.waitUntilReady(20_000);
  await expect.poll(isSuspended, { timeout: 10_000, interval: 100 }).toBe(1);
  await writer.query(NOTIFY, ["after a restart"]);
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 20_000 });

  const faultEndedAt = performance.now();
  await sleeper.query("rollback");
  await expect.poll(isSuspended, { timeout: 5000, interval: 50 }).toBe(0);
  const onMs = performance.now() - faultEndedAt;
  await expect.poll(() => canNotify(writer), { timeout: 5000, interval: 50 }).toBe(true);
  await writer.query(NOTIFY, ["after all"]);
  const verdict = await judge({ readers, faultEndedAt, timeoutMs: 10_000 });
  report({ fault: "a full queue", verdict });
  console.log(
    `  ${[...statuses]} answers; wake-ups again ${Math.round(onMs)} ms after the session`,
  );
  expectExact(verdict, { minReconnects: 0 });
  expect((await service.readiness()).body).toMatchObject({ problems: [], warnings: [] });
});

/** Sends NOTIFY until PostgreSQL refuses one. Returns its error. */
async function fillUp(client: pg.Client): Promise<{ code?: string }> {
  for (let i = 0; i < 200; i++) {
    try {
      await client.query("select pg_notify('another', $1)", [LONG + i]);
    } catch (err) {
      return err as { code?: string };
    }
  }
  throw new Error("the queue takes everything");
}

async function canNotify(client: pg.Client): Promise<boolean> {
  return await client.query("select pg_notify('another', 'x')").then(
    () => true,
    () => false,
  );
}

async function openWatched() {
  const trial = await openTrial({ settings: SETTINGS });
  const readers = await openReaders(trial.service, {
    streams: 2,
    recipients: ["1"],
    random: createRandom(1),
    silenceMs: 120_000,
  });
  return { ...trial, readers, writer: await openClient(trial.databaseUrl) };
}

/** As the service reports it. */
const queueUsage = async (service: ServiceProcess) =>
  (await service.metrics())("bellwire_notify_queue_usage");

async function serverUsage(client: pg.Client): Promise<number> {
  const { rows } = await client.query("select pg_notification_queue_usage() as usage");
  return rows[0].usage;
}

/** The queue fills because the LISTEN backend cannot send, not because it is a little behind. */
async function isHeldUp(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query(
    "select wait_event from pg_stat_activity where application_name = 'bellwire listener'",
  );
  const usage = await serverUsage(client);
  if (usage > 0.5) await delay(10);
  return usage > 0.2 && rows[0]?.wait_event === "ClientWrite";
}

const levelsOfQueueLines = (service: ServiceProcess) =>
  service
    .logs()
    .filter(({ msg }) => msg.includes("notification queue"))
    .map(({ level }) => level);

/** Samples the states of the service's LISTEN backend. */
async function watchListener(postgres: Postgres) {
  const client = await openClient(postgres.url());
  const states = new Set<string>();
  /** In how many samples each transaction was seen. */
  const transactions = new Map<string, number>();
  let samples = 0;
  const { close } = startLoop(async () => {
    const { rows } = await client.query<{ state: string; xact_start: string | null }>(
      `select state, xact_start::text
         from pg_stat_activity
        where application_name = 'bellwire listener'`,
    );
    for (const { state, xact_start } of rows) {
      samples++;
      states.add(state);
      if (xact_start) transactions.set(xact_start, (transactions.get(xact_start) ?? 0) + 1);
    }
    await delay(20);
  });
  return { states, transactions, samples: () => samples, close };
}
