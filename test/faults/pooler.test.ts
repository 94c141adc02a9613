import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { hasPgbouncer, startPgbouncer } from "./support/pgbouncer.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { type Database, openDatabase } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const RECIPIENTS = ["1", "2", "3", "4", "5"];
const [INFO, ERROR] = [30, 50];
/** Fewer than the service would open, so that its transactions share them. */
const SESSIONS = 3;

test.skipIf(!hasPgbouncer)(
  "with LISTEN through a pooler rows arrive with the sweep, and /readyz says why",
  async () => {
    const { database, pooledUrl } = await openPooled();
    const { databaseUrl } = database;
    const env = { DATABASE_URL: pooledUrl, SWEEP_MS: "2000" };
    const service = await startServiceProcess({ databaseUrl, env });
    await expect
      .poll(async () => (await service.readiness()).body.problems, { timeout: 20_000 })
      .toEqual([expect.stringMatching(/pooler in transaction mode.*DIRECT_DATABASE_URL/)]);
    expect((await service.readiness()).status).toBe(503);
    expect((await service.metrics())("bellwire_listener_up")).toBe(0);
    expect((await service.metrics())("bellwire_feed_up")).toBe(1);

    // It tries again after 5 s and a pause, so about three times.
    const fault = "pooler, for LISTEN too";
    const verdict = await runTraffic({ fault, database, service, forMs: 20_000 });
    expect(verdict.longestSilenceMs).toBeLessThan(2000 + 1000);
    expect((await service.readiness()).status).toBe(503);
    const errors = service.logs().filter(({ level }) => level >= ERROR);
    expect(errors.map(({ msg }) => msg)).toEqual(["not listening"]);
    expect(service.logs().filter(({ msg }) => /listening$/.test(msg))).toHaveLength(1);
  },
);

test.skipIf(!hasPgbouncer)(
  "with a direct URL for LISTEN the service works through a pooler",
  async () => {
    const { database, pooledUrl, directUrl } = await openPooled();
    const { postgres, databaseUrl } = database;
    const service = await startServiceProcess({
      databaseUrl,
      env: { DATABASE_URL: pooledUrl, DIRECT_DATABASE_URL: directUrl, SWEEP_MS: "600000" },
    });
    await service.waitUntilReady();

    const fault = "pooler, LISTEN direct";
    const verdict = await runTraffic({ fault, database, service, forMs: 10_000 });
    expect(verdict.longestSilenceMs).toBeLessThan(1000);
    await expectInbox(database, service);
    expect(await postgres.backendPids("bellwire listener")).toHaveLength(1);
    expect(await postgres.backendPids("bellwire feed")).toHaveLength(1);
    const pooled = await postgres.query(
      "select from pg_stat_activity where usename = 'app' and application_name not in ('bellwire listener', 'bellwire feed')",
    );
    expect(pooled).toHaveLength(SESSIONS);
    expect((await service.readiness()).status).toBe(200);
    expect((await service.metrics())("bellwire_listener_up")).toBe(1);
    expect(service.logs().filter(({ level }) => level > INFO)).toEqual([]);
  },
);

/** The service has its own login, because the pooler refuses the start-up option with which a superuser takes a role. */
async function openPooled() {
  const database = await openDatabase();
  const { postgres } = database;
  const [user, password] = ["app", "secret"];
  await postgres.query(`create role ${user} login password '${password}' in role bellwire_service`);
  // A session without the service's own setting would show other times.
  await postgres.query(`alter role ${user} set timezone = 'Asia/Kolkata'`);
  // The service warns without these limits of docs/dba.md.
  for (const limit of ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
    await postgres.query(`alter role ${user} set ${limit} = '10s'`);
  const pgbouncer = await startPgbouncer({
    postgresPort: postgres.port,
    user,
    password,
    poolSize: SESSIONS,
  });
  return {
    database,
    pooledUrl: pgbouncer.url("bellwire"),
    directUrl: `postgres://${user}:${password}@127.0.0.1:${postgres.port}/bellwire`,
  };
}

/** Writers, and readers that cut their streams and resume. Nothing may be lost or repeated. */
async function runTraffic(options: {
  fault: string;
  database: Database;
  service: ServiceProcess;
  forMs: number;
}) {
  const { fault, database, service, forMs } = options;
  const { databaseUrl, judge } = database;
  const [seed = 0] = seeds();
  const random = createRandom(seed);
  const readers = await openReaders(service, {
    streams: 20,
    recipients: RECIPIENTS,
    random: random.fork(),
    cutAfterBytes: [200, 6000],
  });
  const writers = await startWriters({
    url: databaseUrl,
    count: 4,
    recipients: RECIPIENTS,
    random: random.fork(),
    pauseMs: [20, 200],
  });
  await delay(forMs);
  await writers.stop();
  const verdict = await judge({ readers, writers, timeoutMs: 30_000 });
  report({ fault, seed, verdict });
  expectExact(verdict, { minReconnects: 20 });
  return verdict;
}

/** Many requests at once, so that they share the sessions. */
async function expectInbox({ query }: Database, { url, token }: ServiceProcess) {
  const [recipientId = ""] = RECIPIENTS;
  const headers = {
    authorization: `Bearer ${await token(recipientId)}`,
    "content-type": "application/json",
  };
  // biome-ignore lint/suspicious/noExplicitAny: the test reads any field
  async function ask(path: string, method = "GET", body?: unknown): Promise<any> {
    const init = { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) };
    const response = await fetch(`${url}/api/notifications${path}`, init);
    expect(response.status).toBe(200);
    return await response.json();
  }

  const truth = await query<{ id: string; createdAt: string }>(
    `select id, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') as "createdAt"
       from bellwire.notifications
      where recipient_id = $1
      order by id desc
      limit 20`,
    [recipientId],
  );
  const lists = await Promise.all(Array.from({ length: 50 }, () => ask("")));
  for (const { notifications } of lists)
    expect(
      notifications.map(({ id, createdAt }: (typeof truth)[0]) => ({
        id,
        createdAt: createdAt.slice(0, 19),
      })),
    ).toEqual(truth);

  await Promise.all(truth.map(({ id }) => ask(`/${id}`, "PATCH", { read: true })));
  const { notifications } = await ask("");
  for (const { readAt } of notifications)
    expect(Math.abs(Date.parse(readAt) - Date.now())).toBeLessThan(60_000);
  expect((await ask("/unread-count")).count).toBeGreaterThan(0);
  await ask("/mark-all-read", "POST", {});
  expect((await ask("/unread-count")).count).toBe(0);
}
