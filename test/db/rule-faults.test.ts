import { PassThrough } from "node:stream";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { asService, createPool } from "../../src/db/pool.ts";
import { watchRuleFaults } from "../../src/db/rule-faults.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

test("a rule that does not fire is named soon after it stops, and no longer once it fires again", async () => {
  const logged: string[] = [];
  const lines = new PassThrough();
  lines.on("data", (line) => logged.push(JSON.parse(String(line)).msg));
  const log = createLogger("info", lines);
  const pool = createPool({ url: asService(database.url), size: 1, log });
  const { warnings, close } = watchRuleFaults({ pool, log, lookMs: 10 });
  onTestFinished(async () => {
    close();
    await pool.close();
  });
  // The service's role may not use this schema.
  await database.query(`
    create schema shop;
    create table shop.orders (id int, buyer_id int);
    grant usage on schema shop to bellwire_rules;
    select bellwire.define_rule('ordered', 'shop.orders', 'insert', $$
      select n.buyer_id as recipient_id, 'ordered' as type from new_rows n $$)`);
  await database.query("drop table shop.orders; create table shop.orders (id int, buyer_id int)");
  await expect
    .poll(warnings)
    .toEqual([
      "rule ordered: its table shop.orders was dropped and created again, without the trigger",
    ]);
  await database.query("alter table public.messages disable trigger rule_message_received");
  await expect
    .poll(warnings)
    .toContain("rule message_received: its trigger on public.messages is disabled");
  expect(warnings()).toHaveLength(2);

  // While the database refuses, what was seen last stays.
  await database.query("revoke select on bellwire.rule_faults from bellwire_service");
  await database.query("select bellwire.drop_rule('ordered')");
  await database.query("alter table public.messages enable trigger rule_message_received");
  expect(warnings()).toHaveLength(2);
  await database.query("grant select on bellwire.rule_faults to bellwire_service");
  await expect.poll(warnings).toEqual([]);
  expect(logged).toEqual([
    "rules do not fire where they should",
    "rules do not fire where they should",
    "all rules fire again",
  ]);
});
