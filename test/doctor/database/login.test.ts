import pg from "pg";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { checkConnections } from "../../../src/doctor/database/connections.ts";
import { checkRights } from "../../../src/doctor/database/rights.ts";
import { checkRoles } from "../../../src/doctor/database/roles.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { AS_SERVICE, createLogin, examine, ofCheck, withLogin } from "./support.ts";

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase(server);
    return () => database.close();
  });

  /** Roles belong to the cluster, which other tests use. So what is done to them is rolled back. */
  async function afterChange(change: string): Promise<pg.Client> {
    const client = await database.connect();
    await client.query(`begin; ${change}`);
    onTestFinished(() => client.end());
    return client;
  }

  test("a role is missing", async () => {
    const client = await afterChange("alter role bellwire_rules rename to bellwire_rules_gone");
    expect(await checkRoles(client)).toMatchObject(
      [
        {
          level: "broken",
          check: "roles",
          seen: "missing: bellwire_rules",
          fix: /^Run bellwire migrate/,
        },
      ].map((finding) => ({ ...finding, fix: expect.stringMatching(finding.fix) })),
    );
  });

  test("a role that rules run as may log in, or is a superuser", async () => {
    const client = await afterChange("alter role bellwire_rules login superuser");
    expect(await checkRoles(client)).toMatchObject([
      { level: "broken", fix: "As an administrator: alter role bellwire_rules nosuperuser;" },
      { level: "look", seen: "bellwire_rules may log in" },
    ]);
  });

  test("bellwire_owner has lost its membership of bellwire_rules", async () => {
    const client = await afterChange("revoke bellwire_rules from bellwire_owner");
    expect(await checkRoles(client)).toMatchObject([
      {
        level: "look",
        seen: "bellwire_owner is not a member of bellwire_rules",
        fix: expect.stringMatching(/^As .*: grant bellwire_rules to bellwire_owner;$/),
      },
    ]);
  });

  test("the service's role may do what the owner may", async () => {
    const client = await afterChange("grant bellwire_owner to bellwire_service");
    expect(await checkRoles(client)).toMatchObject([
      { level: "look", seen: "bellwire_service is a member of bellwire_owner" },
    ]);
  });

  test("the service's login was never granted bellwire_service", async () => {
    const user = await createLogin(database);
    const deploy = await createLogin(database, "grant bellwire_service to USER with admin option");
    const findings = await examine(withLogin(database.url, user));
    const [rights] = ofCheck(findings, "rights");
    expect(rights).toMatchObject({
      level: "broken",
      seen: `${user} may not use Bellwire, because it is not a member of bellwire_service`,
      fix: expect.stringContaining(`: grant bellwire_service to ${user};`),
    });
    // It names who may grant it, and that is true.
    expect(rights).toMatchObject({
      fix: expect.stringMatching(new RegExp(`^As (.* or )?${deploy}`)),
    });
    const granter = await database.connect();
    await granter.query(`set session authorization ${deploy}; grant bellwire_service to ${user}`);
    expect(ofCheck(await examine(withLogin(database.url, user)), "rights")).toMatchObject([
      { level: "well" },
    ]);
    await granter.query(`revoke bellwire_service from ${user}`);
  });

  test("the service's login does not inherit the rights of its role", async () => {
    const user = await createLogin(
      database,
      "alter role USER noinherit; grant bellwire_service to USER",
    );
    const [rights] = ofCheck(await examine(withLogin(database.url, user)), "rights");
    expect(rights).toMatchObject({ level: "broken", seen: expect.stringContaining("inherit") });
  });

  test("bellwire_service has lost a right", async () => {
    const client = await afterChange(`
      revoke select on bellwire.notifications from bellwire_service;
      revoke execute on function bellwire.mark_all from bellwire_service`);
    const [rights] = await checkRights(client);
    expect(rights).toMatchObject({
      level: "broken",
      seen: "bellwire_service has lost rights: reading bellwire.notifications, bellwire.mark_all()",
    });
    await client.query((rights as { fix: string }).fix.replace(/^.*?: /, ""));
    expect(await checkRights(client)).toMatchObject([{ level: "well" }]);
  });

  test("the service's login has no limits", async () => {
    const user = await createLogin(database, "grant bellwire_service to USER");
    const url = withLogin(database.url, user);
    const [limits] = ofCheck(await examine(url), "limits");
    expect(limits).toMatchObject({
      level: "look",
      seen: `${user} has no idle_in_transaction_session_timeout, lock_timeout, statement_timeout`,
    });
    const { fix } = limits as { fix: string };
    await database.query(fix.replace("As an administrator: ", "").replace(/ Then .*/, ""));
    expect(ofCheck(await examine(url), "limits")).toMatchObject([{ level: "well" }]);
  });

  test("the login of a running service has no limits, seen by an administrator", async () => {
    const user = await createLogin(
      database,
      "grant bellwire_service to USER; alter role USER set lock_timeout = '8s'",
    );
    const service = new pg.Client({
      connectionString: withLogin(database.url, user),
      application_name: "bellwire listener",
    });
    await service.connect();
    expect(ofCheck(await examine(database.url), "limits")).toMatchObject([
      {
        level: "look",
        seen: `${user} has no idle_in_transaction_session_timeout, statement_timeout`,
      },
    ]);
    await service.end();
  });

  test("the server ends idle sessions, also the one that listens", async () => {
    const user = await createLogin(
      database,
      `${AS_SERVICE} alter role USER set idle_session_timeout = '1min'`,
    );
    expect(ofCheck(await examine(withLogin(database.url, user)), "limits")).toMatchObject([
      { level: "look", seen: `idle_session_timeout is 1min for ${user}` },
    ]);
  });

  test("the login may have fewer connections than a service takes", async () => {
    const user = await createLogin(database, `${AS_SERVICE} alter role USER connection limit 10`);
    expect(ofCheck(await examine(withLogin(database.url, user)), "connections")).toMatchObject([
      { level: "look", seen: `${user} may have only 10 connections` },
    ]);
  });

  test("the database takes fewer connections than a service takes", async () => {
    const name = new URL(database.url).pathname.slice(1);
    await database.query(`alter database ${name} connection limit 14`);
    onTestFinished(
      async () => void (await database.query(`alter database ${name} connection limit -1`)),
    );
    expect(ofCheck(await examine(database.url), "connections")).toMatchObject([
      { level: "look", seen: `database ${name} takes only 14 connections` },
    ]);
  });

  test("the server has too few connections left for a service", async () => {
    const client = await database.connect();
    // Of another database, so not one that has its connections already.
    const service = new pg.Client({
      connectionString: database.url.replace(/\/[^/]*$/, "/postgres"),
      application_name: "bellwire listener",
    });
    await service.connect();
    onTestFinished(() => service.end());
    // More than the server has, whatever else runs on it.
    const [finding] = await checkConnections(client, 300);
    expect(finding).toMatchObject({
      level: "look",
      seen: expect.stringMatching(/^\d+ of 297 connections of the server are taken, most by /),
    });
  });
});
