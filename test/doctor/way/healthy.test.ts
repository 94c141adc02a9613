import { afterAll, beforeAll, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openService, type Service } from "../../support/service.ts";
import { examine, QUICK, troublesIn } from "./support/examine.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({ databaseUrl: database.url, env: QUICK });
});
afterAll(async () => {
  await service.close();
  await database.close();
});

test("directly, all is well: with a row, and with pings alone", async () => {
  const [withRow, withPings] = await Promise.all([
    examine(service, service.url, { databaseUrl: database.url }),
    examine(service, `${service.url}/api/notifications/`),
  ]);
  expect(troublesIn(withRow)).toEqual([]);
  expect(troublesIn(withPings)).toEqual([]);
  expect(withRow.map(({ check }) => check)).toEqual(expect.arrayContaining(["resume", "delivery"]));
  expect(await database.query("select 1 from bellwire.notifications")).toEqual([]);
});
