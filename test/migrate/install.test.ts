import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/logger.ts";
import { createInstall } from "../../src/migrate/install.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { formatStatus, status } from "../../src/migrate/status.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const log = createLogger("silent");
const INSTALL = createInstall();

/** What follows in the application's own migration: it relies on the settings that it had before. */
const OWN = `
  create table things (owner_id int, at timestamptz default '1/2/2026');
  select bellwire.define_rule('told', 'public.things', 'insert', $$
    select owner_id as recipient_id, 'x' as type from new_rows
  $$);`;

test("the build makes dist/install.sql", () => {
  expect(readFileSync(new URL("../../dist/install.sql", import.meta.url), "utf8")).toBe(INSTALL);
});

describe.each(inject("servers"))("install.sql on $name", (server) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createDatabase(server, { empty: true });
    return () => database.close();
  });

  test("outside of a transaction it stops before it has made anything", async () => {
    const client = await database.connect();
    const [first = "", second = ""] = INSTALL.split(/(?<=^\$\$;\n)/m);
    await client.query(first);
    await expect(client.query(second)).rejects.toThrow("this is not one transaction");
    const rest = await client.query("select to_regnamespace('bellwire') as made");
    expect(rest.rows).toEqual([{ made: null }]);
  });

  // Prisma sends a migration as one simple query, which is one transaction.
  test("it installs what migrate installs, and the next statements have the settings from before", async () => {
    const client = await database.connect();
    await client.query("set datestyle = 'ISO, DMY'; set lock_timeout = '1s'");
    await client.query(
      `${INSTALL}${OWN} create table settings as select current_setting('lock_timeout') as value`,
    );
    await database.query("insert into public.things values (7)");
    expect(await database.query("select at::date::text from public.things")).toEqual([
      { at: "2026-02-01" },
    ]);
    expect(await database.query("select value from public.settings")).toEqual([{ value: "1s" }]);
    expect(await database.query("select recipient_id, type from bellwire.notifications")).toEqual([
      { recipient_id: "7", type: "x" },
    ]);
    const found = await status({ url: database.url });
    expect(found).toMatchObject({ needs: [], drifted: false });
    expect(formatStatus(found)).not.toMatch(/^\w+ +(pending|changed|newer) /m);
    expect((await migrate({ url: database.url, log })).applied).toEqual([]);
  });

  test("it may run again, as in a shadow database that keeps the schema, and restores what was edited", async () => {
    await database.query(
      "create or replace function bellwire.preview(body text) returns text language sql as 'select 1'",
    );
    expect((await status({ url: database.url })).drifted).toBe(true);
    const client = await database.connect();
    await client.query("begin");
    await client.query(INSTALL);
    await client.query("commit");
    expect(await status({ url: database.url })).toMatchObject({ needs: [], drifted: false });
    expect(await database.query("select count(*)::int from bellwire.notifications")).toEqual([
      { count: 1 },
    ]);
  });

  test("it needs no superuser: a member of bellwire_owner who owns the database may run it", async () => {
    const own = await createDatabase(server, { empty: true });
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    const name = new URL(own.url).pathname.slice(1);
    await own.query(`
      create role ${role} login password 'secret';
      grant bellwire_owner to ${role};
      alter database ${name} owner to ${role}`);
    onTestFinished(async () => {
      await own.close();
      await database.query(`drop role ${role}`);
    });
    const client = await own.connect();
    await client.query(`set session authorization ${role}`);
    await client.query(INSTALL);
    expect(await status({ url: own.url })).toMatchObject({ needs: [], drifted: false });
  });
});
