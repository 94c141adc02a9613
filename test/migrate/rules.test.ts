import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, inject, onTestFinished, test } from "vitest";
import { formatApplied, formatDiff } from "../../src/commands/rules-text.ts";
import { createLogger } from "../../src/logger.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { applyRules, diffRules } from "../../src/migrate/rules.ts";
import { status } from "../../src/migrate/status.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const log = createLogger("silent");

const rule = (text: string, { name = "told", table = "public.things", event = "insert" } = {}) => `
  select bellwire.define_rule('${name}', '${table}', '${event}', $$
    select n.owner_id as recipient_id, '${text}' as type
      from new_rows n
  $$);`;

describe.each(inject("servers"))("rules on $name", (server) => {
  let database: TestDatabase;
  let folder: string;

  beforeEach(async () => {
    database = await createDatabase(server);
    folder = await mkdtemp(join(tmpdir(), "bellwire-rules-"));
    onTestFinished(async () => {
      await database.close();
      await rm(folder, { recursive: true });
    });
    await database.query(`
      select bellwire.drop_rule(name) from bellwire.rules;
      create table public.things (owner_id int, note text)`);
  });

  const write = (file: string, sql: string) => writeFile(join(folder, file), sql);
  const apply = () => applyRules({ url: database.url, folders: [folder], log });
  const diff = () => diffRules({ url: database.url, folders: [folder] });
  const states = ({ changes }: { changes: { name: string; state: string }[] }) =>
    Object.fromEntries(changes.map(({ name, state }) => [name, state]));

  /** Which types a new row of public.things makes. */
  async function fire() {
    await database.query("truncate bellwire.notifications; insert into public.things values (7)");
    const rows = await database.query<{ type: string }>(
      "select type from bellwire.notifications where recipient_id = '7' order by type",
    );
    return rows.map(({ type }) => type);
  }

  const RECREATE = "drop table public.things; create table public.things (owner_id int, note text)";

  test("apply installs what a folder defines, and diff says so before", async () => {
    await write("told.sql", rule("x"));
    const before = await diff();
    expect(states(before)).toEqual({ told: "new" });
    expect(formatDiff(before.changes, before.failures)).toMatch(
      /^new {2}told {2}insert on public\.things, bellwire-rules-\w+\/told\.sql$/,
    );
    expect(await fire()).toEqual([]);
    expect(states(await apply())).toEqual({ told: "new" });
    expect(await fire()).toEqual(["x"]);
    expect(states(await diff())).toEqual({ told: "unchanged" });
    expect(states(await apply())).toEqual({ told: "unchanged" });
  });

  // What `prisma migrate reset` and `db push --force-reset` do to a table.
  test("a table that was dropped and created again is named by status, and mended by apply", async () => {
    await write("told.sql", rule("x"));
    await apply();
    await database.query(RECREATE);
    expect(await fire()).toEqual([]);
    const seen = "its table public.things was dropped and created again, without the trigger";
    expect(await status({ url: database.url, folders: [folder] })).toMatchObject({
      needs: ["Rules need a person, see above."],
      ruleFindings: [{ rule: "told", code: "table_recreated", seen }],
    });
    expect(await diff()).toMatchObject({ changes: [{ name: "told", state: "mended", seen }] });
    const applied = await apply();
    expect(formatApplied(applied)).toBe(`mended  told  ${seen}`);
    expect(await fire()).toEqual(["x"]);
    expect(await status({ url: database.url, folders: [folder] })).toMatchObject({
      needs: [],
      ruleFindings: [],
    });
  });

  test.each([
    ["table was created again", RECREATE],
    [
      "table was swapped",
      `create table public.new_things (like public.things);
       alter table public.things rename to old_things;
       alter table public.new_things rename to things`,
    ],
    ["trigger was dropped", "drop trigger rule_told on public.things"],
  ])("migrate mends a rule whose %s, although its file has not changed", async (_, damage) => {
    await write("told.sql", rule("x"));
    const run = () => migrate({ url: database.url, folders: [folder], log });
    expect((await run()).applied).toHaveLength(1);
    expect((await run()).applied).toEqual([]);
    await database.query(damage);
    expect(await fire()).toEqual([]);
    expect((await run()).applied).toHaveLength(1);
    expect(await fire()).toEqual(["x"]);
    expect((await run()).applied).toEqual([]);
  });

  test("a changed rule is shown line by line", async () => {
    await write("told.sql", rule("x"));
    await apply();
    await write("told.sql", rule("y", { event: "insert or update" }));
    const { changes, failures } = await diff();
    expect(formatDiff(changes, failures)).toMatch(
      /^changed {2}told {2}event and query, bellwire-rules-\w+\/told\.sql\n {2}event: insert → insert or update\n {2}query:\n {4}- {5}select n\.owner_id as recipient_id, 'x' as type\n {4}\+ {5}select n\.owner_id as recipient_id, 'y' as type\n {6}…$/,
    );
    expect(await status({ url: database.url, folders: [folder] })).toMatchObject({
      ruleFindings: [{ rule: "told", code: "differs" }],
    });
    expect(states(await apply())).toEqual({ told: "changed" });
    expect(await fire()).toEqual(["y"]);
  });

  test("a rule that no file defines stays, and is named with what drops it", async () => {
    await database.query(rule("x", { name: "it''s" }));
    await write("told.sql", rule("x"));
    const applied = await apply();
    expect(states(applied)).toEqual({ told: "new", "it's": "gone" });
    expect(formatApplied(applied)).toContain("  select bellwire.drop_rule('it''s');");
    expect(await status({ url: database.url, folders: [folder] })).toMatchObject({
      ruleFindings: [{ rule: "it's", code: "not_in_folder" }],
    });
    // Without a folder nothing is compared.
    expect(await status({ url: database.url })).toMatchObject({ ruleFindings: [] });
    await write(
      "gone.sql",
      "select bellwire.drop_rule(name) from bellwire.rules where name = 'it''s'",
    );
    expect(states(await diff())).toEqual({ told: "unchanged", "it's": "dropped" });
    await apply();
    expect(states(await apply())).toEqual({ told: "unchanged" });
  });

  test("a disabled rule is reported, and stays disabled", async () => {
    await write("told.sql", rule("x"));
    await apply();
    await database.query("alter table public.things disable trigger rule_told");
    expect(states(await diff())).toEqual({ told: "disabled" });
    const applied = await apply();
    expect(states(applied)).toEqual({ told: "disabled" });
    expect(applied.findings).toMatchObject([{ rule: "told", code: "trigger_disabled" }]);
    expect(await fire()).toEqual([]);
  });

  test("a file may compute its rules, and diff waits for no writer of their tables", async () => {
    await write(
      "computed.sql",
      `do $do$ begin
         perform bellwire.define_rule(t, 'public.things', 'insert', format('select owner_id as recipient_id, %L as type from new_rows', t))
            from unnest(array['a', 'b']) as t;
       end $do$`,
    );
    const writer = await database.connect();
    await writer.query("begin; insert into public.things values (1)");
    const client = await database.connect();
    const before = await client.query(
      "select oid, xmin, prosrc from pg_proc where pronamespace = 'bellwire'::regnamespace order by oid",
    );
    expect(states(await diff())).toEqual({ a: "new", b: "new" });
    expect(
      (
        await client.query(
          "select oid, xmin, prosrc from pg_proc where pronamespace = 'bellwire'::regnamespace order by oid",
        )
      ).rows,
    ).toEqual(before.rows);
    await writer.query("commit");
    await apply();
    expect(await fire()).toEqual(["a", "b"]);
    // Also not with an unchanged rule.
    await writer.query("begin; insert into public.things values (1)");
    expect(states(await apply())).toEqual({ a: "unchanged", b: "unchanged" });
    await writer.query("commit");
  });

  test("a file that ends the transaction leaves define_rule as it was", async () => {
    await write("commits.sql", "select 1; commit; select 2");
    expect(await diff()).toMatchObject({
      failures: [{ why: expect.stringContaining("EXECUTE of transaction commands") }],
    });
    await database.query(rule("x"));
    expect(await fire()).toEqual(["x"]);
  });

  test("a file that fails is named with its line, and what it may have defined is not called gone", async () => {
    await database.query(rule("x"));
    await write("told.sql", `${rule("x")}\nselect 1 +;`);
    await write("unfit.sql", rule("x", { name: "unfit" }).replace("owner_id", "nobody"));
    const { changes, failures } = await diff();
    expect(failures).toEqual([
      {
        file: expect.stringMatching(/told\.sql$/),
        why: expect.stringMatching(/told\.sql:6: syntax error at or near ";"$/),
      },
    ]);
    expect(changes).toMatchObject([
      { name: "unfit", state: "new", refusal: "column n.nobody does not exist" },
    ]);
    expect((await status({ url: database.url, folders: [folder] })).ruleFindings).toMatchObject([
      { code: "file_failed" },
      { rule: "unfit", code: "not_installed" },
      { rule: "unfit", code: "file_failed" },
    ]);
    await expect(apply()).rejects.toThrow("Nothing was changed.");
  });

  test("apply gives up after 5 s without its locks, says why, and changes nothing", async () => {
    await write(
      "a.sql",
      rule("x", { name: "other", table: "public.users" }).replace("owner_id", "id"),
    );
    await write("b.sql", rule("x"));
    const writer = await database.connect();
    await writer.query("begin; insert into public.things values (1)");
    await expect(apply()).rejects.toThrow(
      "Another session has held a lock on one of public.things, public.users for 5 s. Nothing was changed.",
    );
    await writer.query("commit");
    expect(await database.query("select from bellwire.rules")).toEqual([]);
    expect(states(await apply())).toEqual({ other: "new", told: "new" });
  });

  test("a transaction that writes to the tables in another order waits for apply, and neither fails", async () => {
    await write("a.sql", rule("a", { name: "a" }));
    await write("b.sql", rule("b", { name: "b", table: "public.users" }).replace("owner_id", "id"));
    const writer = await database.connect();
    await writer.query("begin; insert into public.users (name) values ('Ann')");
    const applying = apply();
    await expect
      .poll(() =>
        database.query(
          "select from pg_locks where not granted and relation = 'public.users'::regclass",
        ),
      )
      .toHaveLength(1);
    await writer.query("insert into public.things values (1)");
    await writer.query("commit");
    expect(states(await applying)).toEqual({ a: "new", b: "new" });
  });

  // Dropping a trigger waits for readers too. A wait for them with the other table's lock held could be a deadlock.
  test.each([
    ["changes its event", rule("a", { name: "a", event: "update" })],
    ["is dropped", "select bellwire.drop_rule('a')"],
    [
      "moves to another table",
      rule("a", { name: "a", table: "public.users" }).replace("owner_id", "id"),
    ],
  ])("no table is locked while another session reads that of a rule that %s", async (_, text) => {
    await write("a.sql", rule("a", { name: "a" }));
    await apply();
    await write("a.sql", text);
    await write("b.sql", rule("b", { name: "b", table: "public.users" }).replace("owner_id", "id"));
    const writer = await database.connect();
    await writer.query("begin; select from public.things");
    const applying = apply();
    await expect
      .poll(() =>
        database.query(
          "select from pg_locks where not granted and relation = 'public.things'::regclass",
        ),
      )
      .toHaveLength(1);
    // As long as apply waits, it soon gives back what it has.
    await writer.query(
      "set local lock_timeout = '1s'; insert into public.users (name) values ('Ann')",
    );
    await writer.query("commit");
    expect(states(await applying)).toMatchObject({ b: "new" });
  });

  test("a role with no more than the right to create triggers may apply", async () => {
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    await database.query(`
      create role ${role} login password 'secret';
      grant bellwire_owner to ${role};
      grant trigger on public.things to ${role}`);
    const url = database.url.replace(/^([^:]+:\/\/)([^@/]*@)?/, `$1${role}:secret@`);
    await write("told.sql", rule("x"));
    expect(states(await applyRules({ url, folders: [folder], log }))).toEqual({ told: "new" });
    await database.query(`drop owned by ${role}; drop role ${role}`);
  });

  test("a user who may not define rules is told what to ask for", async () => {
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    await database.query(`create role ${role} login password 'secret'`);
    const url = database.url.replace(/^([^:]+:\/\/)([^@/]*@)?/, `$1${role}:secret@`);
    await write("told.sql", rule("x"));
    const refused = await diffRules({ url, folders: [folder] }).catch((err) => err.message);
    expect(refused).toContain(`The user "${role}" may not define rules.`);
    const [, grant = ""] = /(grant .+;)$/.exec(refused) ?? [];
    await database.query(grant);
    expect(states(await diffRules({ url, folders: [folder] }))).toEqual({ told: "new" });
    await database.query(`drop role ${role}`);
  });

  test("without the schema, apply says to migrate first", async () => {
    const empty = await createDatabase(server, { empty: true });
    onTestFinished(empty.close);
    await write("told.sql", rule("x"));
    await expect(applyRules({ url: empty.url, folders: [folder], log })).rejects.toThrow(
      "The database lacks migrations/0001_schema.sql. Run bellwire migrate first.",
    );
  });
});
