import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asService } from "../../src/db/pool.ts";
import { openStream } from "../support/event-source.ts";
import { ODD, OVERRIDE } from "../support/odd-settings.ts";
import { call } from "../support/service.ts";
import { tour } from "../support/tour.ts";
import { hasPgbouncer, type PgbouncerOptions, startPgbouncer } from "./support/pgbouncer.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { startServiceProcess } from "./support/service-process.ts";

const INFO = 30;
/** Fewer than the service would open, so that its transactions share them. */
const SESSIONS = 3;
const LIMITS = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

describe.skipIf(!hasPgbouncer)("a service behind a pooler gives the same answers", () => {
  let postgres: Postgres;
  /** The answers on a direct connection, without odd settings. */
  let expected: string[];
  /** The values that the odd settings have by default. */
  let normal: Map<string, Setting>;

  beforeAll(async () => {
    postgres = await startPostgres();
    const client = new pg.Client(postgres.url());
    await client.connect();
    normal = await read(client);
    await client.end();
  });
  afterAll(() => postgres.close());

  test("as without a pooler", async () => {
    const { databaseUrl, directUrl } = await prepare("plain");
    expected = await answers(databaseUrl, { DATABASE_URL: directUrl });
    const { pooledUrl } = await prepare("pooled");
    expect(await answers(postgres.url("pooled"), through(pooledUrl, "pooled"))).toEqual(expected);
  });

  test("with all odd settings set for the database and the login", async () => {
    const { databaseUrl, pooledUrl } = await prepare("settings");
    await setAll(["database settings", "role settings"]);
    expect(await answers(databaseUrl, through(pooledUrl, "settings"))).toEqual(expected);
    expect(await stillNormal(pooledUrl, [...normal.keys()])).toEqual(["client_encoding"]);
  });

  test("when the pooler drops start-up options and resets a session after each transaction", async () => {
    const { databaseUrl, pooledUrl } = await prepare("reset", {
      settings: {
        server_reset_query: "discard all",
        server_reset_query_always: 1,
        ignore_startup_parameters: "options,extra_float_digits",
      },
    });
    await setAll(["database reset", "role reset"]);
    expect(await answers(databaseUrl, through(asService(pooledUrl), "reset"))).toEqual(expected);
    expect(await stillNormal(pooledUrl, [...normal.keys()])).toEqual(["client_encoding"]);
  });

  test("when the pooler sets them in each new session", async () => {
    const settings = settable();
    const { databaseUrl, pooledUrl } = await prepare("connects", {
      connection: {
        connect_query: "select public.connected()", // longer ones than about 512 bytes it does not send
        datestyle: "SQL, DMY",
        timezone: "Asia/Kathmandu",
        client_encoding: "LATIN1",
      },
    });
    const sets = settings.map(([name, value]) => `set ${name} = ${value};`);
    await postgres.query(
      `create function public.connected() returns void language plpgsql as $$ begin ${sets.join(" ")} end $$`,
      [],
      "connects",
    );
    expect(await answers(databaseUrl, through(pooledUrl, "connects"))).toEqual(expected);
    expect(
      await stillNormal(
        pooledUrl,
        settings.map(([name]) => name),
      ),
    ).toEqual(["client_encoding"]);
  });

  test("when another client of the pool has left them in every session", async () => {
    const { databaseUrl, pooledUrl } = await prepare("another");
    const settings = settable();
    await inEachSession(pooledUrl, async (client) => {
      for (const [name, value] of settings) await client.query(`set ${name} = ${value}`);
    });
    expect(await answers(databaseUrl, through(pooledUrl, "another"))).toEqual(expected);
    // The sessions still have the others. These four the pooler sets to the values of each client.
    expect(
      await stillNormal(
        pooledUrl,
        settings.map(([name]) => name),
      ),
    ).toEqual(["client_encoding", "DateStyle", "standard_conforming_strings", "TimeZone"]);
  });

  test.each([
    ["replica", "superuser", "session_replication_role", "replica", /no trigger fires/],
    ["readonly", "nosuperuser", "default_transaction_read_only", "on", /read-only/],
  ])(
    "when another client has left a session %s, marks are 503, nothing is marked, and /readyz says why",
    async (name, rights, setting, value, why) => {
      const { databaseUrl, pooledUrl } = await prepare(name);
      await postgres.query(`alter role ${name} ${rights}`);
      const service = await startServiceProcess({ databaseUrl, env: through(pooledUrl, name) });
      await service.waitUntilReady();
      await postgres.query("select bellwire.notify('1', 'test')", [], name);
      const stream = await openStream(service, "1");
      await stream.waitFor(({ event }) => event === "ready");
      const { notifications } = (await call(service, "1", "")).body;
      const mark = async () => {
        const body = { read: true };
        return (await call(service, "1", `/${notifications[0].id}`, { method: "PATCH", body }))
          .status;
      };
      const markAll = async () =>
        (await call(service, "1", "/mark-all-read", { method: "POST", body: {} })).status;
      const warnings = async () => {
        const { status, body } = await service.readiness();
        return { status, warnings: body.warnings };
      };

      await inEachSession(pooledUrl, (client) => client.query(`set ${setting} = ${value}`));
      for (const write of [mark, markAll]) expect(await write()).toBe(503);
      // The service refuses a new connection before it writes through it.
      await expect
        .poll(async () => [await mark(), await warnings()])
        .toEqual([503, { status: 200, warnings: [expect.stringMatching(why)] }]);
      const marked = "select from bellwire.notifications where num_nonnulls(read_at, seen_at) > 0";
      expect(await postgres.query(marked, [], name)).toEqual([]);

      await inEachSession(pooledUrl, (client) => client.query(`reset ${setting}`));
      expect(await mark()).toBe(200);
      expect(await warnings()).toEqual({ status: 200, warnings: [] });
      await stream.waitFor(({ event }) => event === "state");
    },
  );

  /** A database, and a login with the limits of docs/dba.md, without which the service warns. */
  async function prepare(name: string, options: Partial<PgbouncerOptions> = {}) {
    const databaseUrl = await createMigrated(postgres, name);
    await postgres.query(OVERRIDE, [], name);
    await postgres.query(`create role ${name} login password 'secret' in role bellwire_service`);
    for (const limit of LIMITS) await postgres.query(`alter role ${name} set ${limit} = '10s'`);
    const pgbouncer = await startPgbouncer({
      postgresPort: postgres.port,
      user: name,
      password: "secret",
      poolSize: SESSIONS,
      ...options,
    });
    return { databaseUrl, directUrl: directUrl(name), pooledUrl: pgbouncer.url(name) };
  }

  const directUrl = (name: string) =>
    `postgres://${name}:secret@127.0.0.1:${postgres.port}/${name}`;

  const through = (pooledUrl: string, name: string) => ({
    DATABASE_URL: pooledUrl,
    DIRECT_DATABASE_URL: directUrl(name),
  });

  /** The settings that any login may set. The others need a superuser. */
  const settable = () => Object.entries(ODD).filter(([name]) => normal.get(name)?.isForAll);

  /** The names that have their default value in any session of the pooler: those were not tested. */
  async function stillNormal(url: string, names: string[]): Promise<string[]> {
    const sessions = await inEachSession(url, read);
    const isNormal = (name: string) =>
      sessions.some((session) => session.get(name)?.value === normal.get(name)?.value);
    return names.filter(isNormal).sort((a, b) => a.localeCompare(b));
  }

  async function setAll(owners: string[]): Promise<void> {
    for (const [name, value] of Object.entries(ODD))
      for (const owner of normal.has(name) ? owners : [])
        await postgres.query(`alter ${owner} set ${name} = ${value}`);
  }
});

interface Setting {
  value: string;
  /** Any login may set it, not only a superuser. */
  isForAll: boolean;
}

async function read(client: pg.Client): Promise<Map<string, Setting>> {
  await client.query("do $$ begin end $$"); // loads the settings of plpgsql
  const { rows } = await client.query<Setting & { name: string }>(
    `select name, setting as value, context = 'user' as "isForAll" from pg_settings where name = any ($1)`,
    [Object.keys(ODD)],
  );
  return new Map(rows.map(({ name, ...setting }) => [name, setting]));
}

/** Asks in every session of the pooler: transactions at the same time never share one. */
async function inEachSession<T>(url: string, ask: (client: pg.Client) => Promise<T>): Promise<T[]> {
  const clients = Array.from({ length: SESSIONS }, () => new pg.Client(url));
  await Promise.all(clients.map((client) => client.connect()));
  await Promise.all(clients.map((client) => client.query("begin")));
  const said = await Promise.all(clients.map(ask));
  await Promise.all(clients.map((client) => client.query("commit")));
  await Promise.all(clients.map((client) => client.end()));
  return said;
}

/** Takes the tour. The service stays ready and logs no warning. */
async function answers(databaseUrl: string, env: Record<string, string>): Promise<string[]> {
  const service = await startServiceProcess({ databaseUrl, env });
  await service.waitUntilReady();
  const said = await tour(databaseUrl, service);
  expect(await service.readiness()).toEqual({
    status: 200,
    body: { status: "ok", problems: [], warnings: [] },
  });
  expect(service.logs().filter(({ level }) => level > INFO)).toEqual([]);
  return said;
}
