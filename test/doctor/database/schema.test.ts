import { beforeEach, describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { AS_SERVICE, createLogin, examine, ofCheck, withLogin } from "./support.ts";

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createDatabase(server);
    onTestFinished(database.close);
  });

  const look = async () => ofCheck(await examine(database.url), "schema");

  test("the database has no Bellwire", async () => {
    const empty = await createDatabase(server, { empty: true });
    onTestFinished(empty.close);
    const findings = await examine(empty.url);
    const [name] = await empty.query<{ name: string }>("select current_database() as name");
    expect(findings.filter(({ level }) => level !== "well")).toMatchObject([
      { check: "settings" }, // the server of the tests has synchronous_commit off
      {
        check: "schema",
        level: "broken",
        seen: `database ${name?.name} has no Bellwire: there is no schema bellwire with a history`,
      },
    ]);
  });

  test("the database is older than this release", async () => {
    await database.query("delete from bellwire.schema_history where name like 'migrations/%'");
    expect(await look()).toMatchObject([
      { level: "broken", seen: "older than this release: migrations/0001_schema.sql not applied" },
    ]);
  });

  test("a function of this release was not applied", async () => {
    await database.query(
      "update bellwire.schema_history set checksum = 'old' where name like 'sql/public/notify%'",
    );
    expect(await look()).toMatchObject([
      { level: "look", seen: "older than this release: sql/public/notify.sql not applied" },
    ]);
  });

  test("the database is newer than this release", async () => {
    await database.query(
      "insert into bellwire.schema_history values ('migrations/9999_later.sql', 'versioned', 'x', now(), 'x', '9')",
    );
    expect(await look()).toMatchObject([
      { level: "look", seen: expect.stringMatching(/newer than this code.*9999_later/) },
    ]);
  });

  test("a column that a check reads is not there", async () => {
    await database.query("alter table bellwire.rule_error_log rename column sqlstate to code");
    const findings = await examine(database.url);
    expect(ofCheck(findings, "rules")).toMatchObject([
      {
        level: "look",
        seen: expect.stringMatching(/^not checked, because the schema is of another release/),
        fix: expect.stringContaining("bellwire migrate DIR"),
      },
    ]);
    expect(ofCheck(findings, "wakeups")).toMatchObject([{ level: "well" }]);
  });

  test("a migration was edited after it was applied", async () => {
    await database.query(
      "update bellwire.schema_history set checksum = 'other' where name like 'migrations/%'",
    );
    expect(await look()).toMatchObject([
      { level: "look", seen: expect.stringMatching(/was edited/) },
    ]);
  });

  test.each([
    [
      "a function was edited by hand",
      "create or replace function bellwire.preview(body text) returns text language sql as 'select 1'",
      "look",
      "bellwire.preview(text) was edited by hand",
    ],
    [
      "a function was dropped",
      "drop function bellwire.redeem_ticket",
      "broken",
      "bellwire.redeem_ticket(bytea) was dropped",
    ],
    [
      "a function of somebody else is in schema bellwire",
      "create function bellwire.ours() returns int language sql as 'select 1'",
      "look",
      "bellwire.ours() is not Bellwire's",
    ],
  ])("%s", async (_, change, level, seen) => {
    await database.query(change);
    expect(await look()).toMatchObject([{ level, seen }]);
    const user = await createLogin(database, AS_SERVICE);
    const asService = ofCheck(await examine(withLogin(database.url, user)), "schema");
    expect(asService).toMatchObject([
      { level: "well", seen: expect.stringMatching(/edits by hand are shown only to a member/) },
    ]);
  });
});
