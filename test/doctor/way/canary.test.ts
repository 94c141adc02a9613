import { beforeAll, expect, test } from "vitest";
import { type Canary, openCanary } from "../../../src/doctor/way/canary.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

const open = async () => (await openCanary(database.url, "somebody")) as Canary;
const rows = () => database.query("select id from bellwire.notifications");

test("close also deletes a row that is being written", async () => {
  const canary = await open();
  const written = canary.write();
  await canary.close();
  expect(await written).toBeDefined();
  expect(await rows()).toEqual([]);
});

test("nothing is written from close on", async () => {
  const canary = await open();
  const closed = canary.close();
  expect(await canary.write()).toBeUndefined();
  await closed;
  expect(await rows()).toEqual([]);
});

test("what a killed doctor left is deleted by the next one, and no row of another type", async () => {
  await database.query(`
    insert into bellwire.notifications (recipient_id, type, created_at)
    select 'somebody', type, now() - age
      from (values ('bellwire.doctor', interval '11 minutes'),
                   ('bellwire.doctor', interval '1 minute'),
                   ('other', interval '11 minutes')) old (type, age)`);
  await (await open()).close();
  expect(await database.query("select type from bellwire.notifications order by 1")).toEqual([
    { type: "bellwire.doctor" },
    { type: "other" },
  ]);
});
