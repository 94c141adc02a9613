import { randomBytes } from "node:crypto";
import pg from "pg";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/logger.ts";
import { migrate, plan } from "../../src/migrate/migrate.ts";
import { formatStatus, status } from "../../src/migrate/status.ts";
import { createDatabase } from "../support/database.ts";
import { NO_MATTER, ODD, ODD_FORMS, OVERRIDE } from "../support/odd-settings.ts";
import { startService } from "../support/service.ts";
import { tour } from "../support/tour.ts";

const log = createLogger("silent");
/** Replaces the names of the test's database and login. */
const withoutNames = (text: string) =>
  text.replaceAll(/bellwire_test_\w+/g, "database").replaceAll(/\bodd_\w+|postgres/g, "login");

describe.each(inject("servers"))("on $name the service is the same", (server) => {
  let expected: string[];
  /** Each setting of a session, and its value without any of ours. */
  let known: Map<string, string>;

  /** A new database and login, one of which has these settings. */
  async function prepare(settings: [string, string][], of: "database" | "role") {
    const role = `odd_${randomBytes(4).toString("hex")}`;
    // Dropped last, because the role owns what the application creates.
    if (of === "role") onTestFinished(() => drop(role));
    const database = await createDatabase(server);
    onTestFinished(database.close);
    await database.query(OVERRIDE);
    const name = new URL(database.url).pathname.slice(1);
    let { url } = database;
    let owner = `database ${name}`;
    if (of === "role") {
      await database.query(`create role ${role} superuser login password 'odd'`);
      owner = `role ${role}`;
      const own = new URL(database.url);
      own.username = role;
      own.password = "odd";
      url = own.toString();
    }
    for (const [setting, value] of settings)
      if (known.has(setting)) await database.query(`alter ${owner} set ${setting} = ${value}`);
    return url;
  }

  async function drop(role: string) {
    const client = new pg.Client(server.url);
    await client.connect();
    await client.query(`drop role if exists ${role}`);
    await client.end();
  }

  async function readSettings(url: string) {
    const client = new pg.Client(url);
    await client.connect();
    await client.query("do $$ begin end $$"); // loads plpgsql, which has its own settings
    const { rows } = await client.query<{ name: string; setting: string }>(
      `select name, setting from pg_settings
        where context in ('user', 'superuser', 'backend', 'superuser-backend')`,
    );
    await client.end();
    return new Map(rows.map(({ name, setting }) => [name, setting]));
  }

  beforeAll(async () => {
    known = await readSettings(server.url);
  });

  test("every setting of the server has an odd value here, or a reason to have none", () => {
    const why = (name: string) => NO_MATTER.filter(([names]) => names.test(name));
    const count = (name: string) => Number(Object.hasOwn(ODD, name)) || why(name).length;
    expect([...known.keys()].filter((name) => count(name) !== 1)).toEqual([]);
  });

  test("without any of these settings", async () => {
    const url = await prepare([], "database");
    expected = await tour(url, await startService({ databaseUrl: url }));
    expect(expected.filter((line) => / [45]\d\d /.test(line))).toEqual([]);
  });

  const isFirst = server.url === inject("servers")[0]?.url;

  // Settings that change a text or a result are tested one by one, on one server. All others are tested together.
  test.skipIf(!isFirst).each(Object.entries(ODD_FORMS))("with %s = %s", async (...setting) => {
    const url = await prepare([setting], "database");
    expect(await tour(url, await startService({ databaseUrl: url }))).toEqual(expected);
  });

  test.each(["database", "role"] as const)(
    "with all settings at once, set for the %s; migrate, plan and status are the same too",
    async (of) => {
      const own = { folders: ["sql/example", "sql/rules"], log };
      const told = async (url: string) => [
        await plan({ url, ...own }),
        formatStatus(await status({ url, ...own })),
      ];
      const before = await told(await prepare([], "database"));
      const url = await prepare(Object.entries(ODD), of);
      const odd = await readSettings(url);
      // The driver always sets the encoding.
      const same = Object.keys(ODD).filter(
        (name) => known.has(name) && odd.get(name) === known.get(name),
      );
      expect(same).toEqual(["client_encoding"]);
      expect((await told(url)).map(withoutNames)).toEqual(before.map(withoutNames));
      await migrate({ url, ...own });
      expect(await tour(url, await startService({ databaseUrl: url }))).toEqual(expected);
    },
    120_000,
  );
});

test("the service is not ready with a login for which no trigger fires", async () => {
  const database = await createDatabase();
  onTestFinished(database.close);
  const service = await startService({ databaseUrl: database.url, env: { SWEEP_MS: "50" } });
  const name = new URL(database.url).pathname.slice(1);
  await database.query(`alter database ${name} set session_replication_role = 'replica'`);
  await database.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'bellwire%' and datname = current_database()",
  );
  await expect.poll(async () => (await fetch(`${service.url}/readyz`)).status).toBe(503);
  await expect.poll(service.logged).toContain("session_replication_role is replica");
});
