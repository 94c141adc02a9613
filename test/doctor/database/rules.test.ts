import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, inject, onTestFinished, test } from "vitest";
import { readFiles } from "../../../src/migrate/files.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { AS_SERVICE, createLogin, examine, withLogin } from "./support.ts";

const RULE = `
  select bellwire.define_rule('told', 'public.things', 'insert', $$
    select n.owner_id as recipient_id, 'x' as type, o.id as actor_id, o.name as title
      from new_rows n
      join public.owners o on o.id = n.owner_id
  $$);`;

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createDatabase(server);
    onTestFinished(database.close);
    await database.query(`
      create table public.owners (id int primary key, name text);
      grant select on public.owners to bellwire_rules;
      create table public.things (owner_id int);
      ${RULE}`);
  });

  const look = async (url = database.url, rules = {}) =>
    (await examine(url, rules)).filter(
      ({ check, level }) => check.startsWith("rule") && level !== "well",
    );

  test.each([
    [
      "the table of a rule was dropped",
      "drop table public.things",
      "rule_table_dropped",
      "rule told: its table public.things was dropped",
    ],
    [
      "the table of a rule was dropped and created again, as prisma migrate reset does",
      "drop table public.things; create table public.things (owner_id int)",
      "rule_table_recreated",
      "rule told: its table public.things was dropped and created again, without the trigger",
    ],
    [
      "the table of a rule was swapped for another",
      "alter table public.things rename to things_old; create table public.things (owner_id int)",
      "rule_table_swapped",
      "rule told: its trigger is on public.things_old, and another table is called public.things now",
    ],
    [
      "the trigger of a rule was dropped",
      "drop trigger rule_told on public.things",
      "rule_trigger_missing",
      "rule told: its trigger on public.things was dropped",
    ],
    [
      "the trigger of a rule is disabled",
      "alter table public.things disable trigger all",
      "rule_trigger_disabled",
      "rule told: its trigger on public.things is disabled",
    ],
    [
      "the function of a rule was edited",
      `create or replace function bellwire.rule_told() returns trigger language plpgsql security definer
       as 'begin return null; end'`,
      "rule_function_edited",
      "rule told: its function bellwire.rule_told() was edited",
    ],
    [
      "the function of a rule belongs to somebody else",
      "alter function bellwire.rule_told() owner to bellwire_owner",
      "rule_function_owner",
      "rule told: its function bellwire.rule_told() belongs to another role than bellwire_rules",
    ],
    [
      "the table of a rule became a partition",
      `create table public.whole (owner_id int) partition by list (owner_id);
       alter table public.whole attach partition public.things for values in (1)`,
      "rule_table_attached",
      "rule told: its table public.things became a partition, and a statement that names the whole table does not fire it",
    ],
  ])("%s", async (_, change, check, seen) => {
    expect(await look()).toEqual([]);
    await database.query(change);
    expect(await look()).toMatchObject([{ check, seen }]);
    const user = await createLogin(database, AS_SERVICE);
    expect(await look(withLogin(database.url, user))).toMatchObject([{ check, seen }]);
  });

  test("a column that a rule reads was renamed", async () => {
    await database.query("alter table public.owners rename name to label");
    expect(await look()).toMatchObject([
      {
        check: "rule_query_unfit",
        level: "broken",
        seen: expect.stringMatching(/^rule told: .*o\.name/),
      },
    ]);
  });

  test("a type of a rule's ids has changed", async () => {
    await database.query(`
      alter table public.things alter owner_id type numeric;
      alter table public.owners alter id type numeric`);
    const found = await look();
    expect(found.map(({ check }) => check)).toEqual(["rule_function_outdated"]);
  });

  test("a rule failed today", async () => {
    await database.query(`
      revoke select on public.owners from bellwire_rules;
      insert into public.things values (1);
      grant select on public.owners to bellwire_rules`);
    const user = await createLogin(database, AS_SERVICE);
    for (const url of [database.url, withLogin(database.url, user)])
      expect(await look(url)).toMatchObject([
        {
          check: "rule_failing",
          level: "look",
          seen: expect.stringMatching(/^rule told: 1 errors.*permission denied for table owners/),
        },
      ]);
  });

  /** Installed is `told`. The rules of the marketplace would all be in no file. */
  async function compare(sql: string) {
    await database.query(
      "select bellwire.drop_rule(name) from bellwire.rules where name <> 'told'",
    );
    const folder = await mkdtemp(join(tmpdir(), "bellwire-doctor-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, "rule.sql"), sql);
    const rules = readFiles({ folders: [folder] }).filter(({ isFurther }) => isFurther);
    return (await look(database.url, { rules })).map(({ check, seen }) => [
      check,
      seen.replace(/bellwire-doctor-\w+/, "rules"),
    ]);
  }

  test("a rule of the folder was not installed", async () => {
    expect(await compare(RULE + RULE.replace("'told'", "'later'"))).toEqual([
      ["rule_not_installed", "rule later: rules/rule.sql defines it, and it is not installed"],
    ]);
  });

  test("a rule differs from its file", async () => {
    expect(await compare(RULE.replace("'x' as type", "'y' as type"))).toEqual([
      ["rule_differs", "rule told: rules/rule.sql defines it with another query"],
    ]);
  });

  test("an installed rule has no file", async () => {
    expect(await compare("select 1;")).toEqual([
      ["rule_not_in_folder", "rule told: it is in no file of the folder"],
    ]);
  });

  test("a file of the folder fails", async () => {
    expect(await compare("select nonsense;")).toEqual([
      ["rule_file_failed", expect.stringMatching(/^rules\/rule.sql: .*nonsense/)],
    ]);
  });
});
