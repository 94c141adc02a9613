import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { createMigrated, startPostgres } from "../../faults/support/postgres.ts";
import { canStandBy, startStandby } from "../../faults/support/standby.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { examine, ofCheck } from "./support.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

const trouble = async (url: string, directUrl = url) =>
  (await examine(url, { directUrl })).filter(
    ({ level, check }) => level !== "well" && !["settings", "service", "vacuum"].includes(check),
  );

test("the two URLs lead to different databases", async () => {
  const other = await createDatabase();
  onTestFinished(other.close);
  expect(await trouble(database.url, other.url)).toMatchObject([
    { check: "same_database", level: "broken", fix: expect.stringMatching(/^Make both URLs lead/) },
    {
      check: "listen",
      level: "broken",
      seen: "a NOTIFY over DATABASE_URL did not arrive over DIRECT_DATABASE_URL within 2 s",
    },
  ]);
});

test("no service is connected", async () => {
  expect(ofCheck(await examine(database.url), "service")).toMatchObject([
    { level: "look", seen: "no Bellwire service is connected to this database" },
  ]);
});

test("a service that reads but does not listen", async () => {
  const client = await database.connect();
  await client.query("set application_name = 'bellwire'");
  expect(ofCheck(await examine(database.url), "service")).toMatchObject([
    { level: "look", seen: expect.stringMatching(/is connected as .*, but none of its sessions/) },
  ]);
  await client.end();
});

test.skipIf(!canStandBy)("DATABASE_URL leads to a standby", async () => {
  const primary = await startPostgres({ major: 15 });
  const url = await createMigrated(primary);
  const standby = await startStandby({ primary });
  const copy = standby.url("bellwire");
  await expect
    .poll(async () => ofCheck(await examine(copy), "connect"))
    .toMatchObject([{ level: "well" }]);

  const broken = { level: "broken", check: "server" };
  const seen = (name: string) =>
    `${name}: 127.0.0.1:${standby.port} is a standby, a read-only copy`;
  expect(await trouble(copy)).toMatchObject([{ ...broken, seen: seen("DATABASE_URL") }]);
  expect(await trouble(copy, url)).toMatchObject([
    { ...broken, seen: seen("DATABASE_URL") },
    { check: "same_database" },
  ]);
  // Only LISTEN goes to it: "DIRECT_DATABASE_URL leads to a standby".
  expect(await trouble(url, copy)).toMatchObject([
    { ...broken, seen: seen("DIRECT_DATABASE_URL") },
    { check: "same_database", seen: expect.stringContaining("on the standby 127.0.0.1:") },
  ]);
});
