import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { AS_SERVICE, createLogin, examine, ofCheck, withLogin } from "./support.ts";

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase(server);
    await ofDatabase("set synchronous_commit = on"); // the server of the tests has it off
    return () => database.close();
  });

  const ofDatabase = (change: string) =>
    database.query(`alter database ${new URL(database.url).pathname.slice(1)} ${change}`);

  const look = async (url = database.url) => ofCheck(await examine(url), "settings");

  test.each([
    [
      "triggers do not fire for the service's login",
      "session_replication_role",
      "replica",
      "broken",
    ],
    ["the service's login may only read", "default_transaction_read_only", "on", "broken"],
    [
      "the service's login has another isolation level",
      "default_transaction_isolation",
      "serializable",
      "look",
    ],
    ["commits are not durable", "synchronous_commit", "off", "look"],
  ])("%s", async (_, name, value, level) => {
    const user = await createLogin(
      database,
      `${AS_SERVICE} alter role USER set ${name} = '${value}'`,
    );
    const [finding] = await look(withLogin(database.url, user));
    expect(finding).toMatchObject({
      level,
      seen: `${name} is ${value} (set for the login)`,
      fix: expect.stringContaining(`alter role ${user} `),
    });
    const { fix } = finding as { fix: string };
    await database.query(/(alter role .*?;)/.exec(fix)?.[1] ?? "");
    expect(await look(withLogin(database.url, user))).toMatchObject([{ level: "well" }]);
  });

  test("the whole database may only be read", async () => {
    await ofDatabase("set default_transaction_read_only = on");
    onTestFinished(async () => {
      const client = await database.connect();
      await client.query("set default_transaction_read_only = off");
      await client.query(
        `alter database ${new URL(database.url).pathname.slice(1)} reset default_transaction_read_only`,
      );
    });
    expect(await look()).toMatchObject([
      {
        level: "broken",
        seen: "default_transaction_read_only is on (set for the database)",
        fix: expect.stringMatching(/alter database \w+ reset default_transaction_read_only;/),
      },
    ]);
  });

  test("a setting in the URL is named there", async () => {
    const url = `${database.url}?options=-c%20default_transaction_read_only%3Don`;
    expect(await look(url)).toMatchObject([
      { fix: expect.stringContaining("Remove default_transaction_read_only from the options of") },
    ]);
  });

  test("DateStyle, search_path and the like are no finding", async () => {
    const user = await createLogin(
      database,
      `${AS_SERVICE} alter role USER set datestyle = 'SQL, DMY'; alter role USER set search_path = '';
       alter role USER set intervalstyle = iso_8601; alter role USER set quote_all_identifiers = on`,
    );
    const findings = await examine(withLogin(database.url, user));
    const checks = findings.filter(({ level }) => level !== "well").map(({ check }) => check);
    expect(checks).toEqual(["service", "vacuum"]); // none runs here, and these servers have no autovacuum
  });
});
