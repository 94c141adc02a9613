import { randomBytes } from "node:crypto";
import pg from "pg";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/logger.ts";
import { checkSchema } from "../../src/migrate/check-schema.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const log = createLogger("silent");

/** What an error says to run is run as the role that it names, and then what had failed is done again. */
describe.each(inject("servers"))("on $name", (server) => {
  async function open(options: { empty?: boolean } = {}) {
    const database = await createDatabase(server, options);
    onTestFinished(database.close);
    return database;
  }

  /** A login with these attributes, and its connection to the database. */
  async function createLogin(database: TestDatabase, attributes = "", base = "role") {
    const name = `${base} ${randomBytes(4).toString("hex")}`;
    const role = pg.escapeIdentifier(name);
    await database.query(`create role ${role} login password 'secret' ${attributes}`);
    onTestFinished(async () => {
      await database.query(`drop owned by ${role} cascade`);
      await database.query(`drop role ${role}`);
    });
    const url = new URL(database.url);
    url.username = encodeURIComponent(name);
    url.password = "secret";
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    onTestFinished(() => client.end());
    return { name, role, url: url.href, client };
  }

  /** An administrator as hosted databases give one: may create roles, and is no superuser. */
  async function createAdministrator(database: TestDatabase) {
    const administrator = await createLogin(database, "createrole");
    const { role } = administrator;
    const name = new URL(database.url).pathname.slice(1);
    await database.query(`grant create on database ${name} to ${role}`);
    if (await isModern(database)) {
      // What the creator of the roles has.
      const option = `to ${role} with admin true, inherit false, set false`;
      for (const ours of ["owner", "rules", "service"])
        await database.query(`grant bellwire_${ours} ${option}`);
    }
    return administrator;
  }

  /** The SQL that migrate wants an administrator to run. */
  async function prerequisitesOf(url: string): Promise<string> {
    const denied = await migrate({ url, log }).catch((err: Error) => err.message);
    const [, sql] = /^(do \$prerequisites\$.*)/ms.exec(String(denied)) ?? [];
    return sql ?? "";
  }

  async function isModern(database: TestDatabase): Promise<boolean> {
    const [row] = await database.query<{ modern: boolean }>(
      "select current_setting('server_version_num')::int >= 160000 as modern",
    );
    return row?.modern ?? false;
  }

  test("an administrator who is no superuser can prepare the database, also for a user whose name needs quotes", async () => {
    const database = await open({ empty: true });
    const administrator = await createAdministrator(database);
    const deploy = await createLogin(database, "", `user"s %`);
    await administrator.client.query(await prerequisitesOf(deploy.url));
    const { applied } = await migrate({ url: deploy.url, log });
    expect(applied).toContain("migrations/0001_schema.sql");
  });

  test("a deploying login that does not inherit rights", async () => {
    const database = await open({ empty: true });
    const deploy = await createLogin(database, "noinherit");
    const sql = await prerequisitesOf(deploy.url);
    await database.query(sql).catch(async (err: pg.DatabaseError) => {
      const [, remedy] = /as an administrator: (.*;)$/.exec(err.message) ?? [];
      await database.query(remedy ?? "");
      await database.query(sql);
    });
    await migrate({ url: deploy.url, log });
  });

  test.each(["inherit", "noinherit"])("the service's login, with %s", async (attribute) => {
    const database = await open();
    const administrator = await createAdministrator(database);
    const bell = await createLogin(database, attribute);
    for (;;) {
      const result = await checkSchema(bell.client).catch((err: Error) => err.message);
      if (typeof result !== "string") break;
      const [, remedy = ""] = /the role that created bellwire_service: (.*;)$/.exec(result) ?? [];
      expect(remedy).toContain(bell.role);
      // Before PostgreSQL 16 an administrator may change any role that is no superuser.
      await administrator.client.query(remedy);
    }
  });

  test.each(["inherit", "noinherit"])("who defines a rule, with %s", async (attribute) => {
    const database = await open();
    const administrator = await createAdministrator(database);
    const owner = await createLogin(database, attribute);
    await database.query(`
      create table public.own (id bigint);
      alter table public.own owner to ${owner.role};
      grant usage on schema bellwire to ${owner.role};
      grant execute on function bellwire.define_rule(text, regclass, text, text, text, text) to ${owner.role}`);
    for (;;) {
      const refused = await owner.client
        .query(
          `select bellwire.define_rule('own', 'public.own', 'insert', $$select id as recipient_id, 'a' as type from new_rows$$)`,
        )
        .then(() => undefined)
        .catch((err: pg.DatabaseError) => err);
      if (!refused) break;
      const [, remedy = ""] =
        /the role that created bellwire_owner: (.*;)$/.exec(refused.hint ?? "") ?? [];
      expect(remedy).toContain(owner.role);
      await administrator.client.query(remedy);
    }
  });
});
