import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { formatStatus, status } from "../../src/migrate/status.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const RULE = `
  select bellwire.define_rule('told', 'public.things', 'insert', $$
    select n.owner_id as recipient_id, 'x' as type, n.note as title, o.name as body
      from new_rows n
      join public.owners o on o.id = n.owner_id
  $$)`;

describe.each(inject("servers"))("status on $name", (server) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createDatabase(server);
    // Each look checks every rule. These are all right, and looked at once.
    expect(await look()).toMatchObject({ needs: [], findings: [], triggers: [] });
    await database.query(`
      select bellwire.drop_rule(name) from bellwire.rules;
      create table public.owners (id int, name text);
      grant select on public.owners to bellwire_rules`);
    return () => database.close();
  });

  const look = async (folders: string[] = []) => {
    const found = await status({ url: database.url, folders });
    return {
      needs: found.needs,
      findings: found.ruleFindings.map(({ rule, code, seen }) => `${rule} ${code}: ${seen}`),
      levels: found.ruleFindings.map(({ level }) => level),
      fixes: found.ruleFindings.map(({ fix }) => fix),
      triggers: found.triggerNotes,
      text: formatStatus(found),
    };
  };

  const traces = () =>
    database.query(
      `select (select count(*)::int from pg_proc where pronamespace = 'bellwire'::regnamespace) as functions,
              (select count(*)::int from pg_class where relnamespace = 'bellwire'::regnamespace) as relations,
              (select nspacl::text from pg_namespace where nspname = 'bellwire') as rights`,
    );

  async function createThings() {
    await database.query("create table public.things (owner_id int, note text)");
    await database.query(RULE);
    onTestFinished(dropThings);
  }

  const dropThings = async () => {
    await database.query(`
      select bellwire.drop_rule('told');
      drop table if exists public.things, public.things_old, public.tasks cascade;
      truncate public.owners, bellwire.rule_error_log`);
  };

  test.each([
    [
      "alter table public.things rename column note to remark",
      "alter table public.things rename column remark to note",
      "column n.note does not exist",
    ],
    [
      "alter table public.owners rename to people",
      "alter table public.people rename to owners",
      'relation "public.owners" does not exist',
    ],
    [
      "alter table public.owners rename column name to label",
      "alter table public.owners rename column label to name",
      "column o.name does not exist",
    ],
    [
      "alter table public.things alter owner_id type text",
      "alter table public.things alter owner_id type int using owner_id::int",
      "operator does not exist: integer = text",
    ],
    [
      "revoke select on public.owners from bellwire_rules",
      "grant select on public.owners to bellwire_rules",
      "permission denied for table owners",
    ],
  ])(
    "a rule that %s has broken is reported before a write fires it",
    async (damage, repair, said) => {
      await createThings();
      const before = await traces();
      expect(await look()).toMatchObject({ needs: [], findings: [] });
      await database.query(damage);
      const found = await look();
      expect(found.findings).toEqual([expect.stringContaining(`told query_unfit: ${said}`)]);
      expect(found.needs).toEqual(["Rules need a person, see above."]);
      expect(found.text).toMatch(/^rule +broken +told: /m);
      expect(await traces()).toEqual(before);
      await database.query(repair);
      expect(await look()).toMatchObject({ needs: [], findings: [] });
    },
  );

  const RECREATE = "create table public.things (owner_id int, note text)";
  const SWAP = `
    create table public.things_new (like public.things);
    alter table public.things rename to things_old;
    alter table public.things_new rename to things`;

  describe.each([
    ["recreated", `drop table public.things; ${RECREATE}`, "table_recreated"],
    ["swapped", SWAP, "table_swapped"],
    ["trigger dropped", "drop trigger rule_told on public.things", "trigger_missing"],
    ["function dropped", "drop function bellwire.rule_told() cascade", "trigger_missing"],
    [
      "function edited",
      "create or replace function bellwire.rule_told() returns trigger language plpgsql security definer as 'begin return null; end'",
      "function_edited",
    ],
    [
      "without its owner's rights",
      "alter function bellwire.rule_told() security invoker",
      "function_edited",
    ],
    [
      "given to another role",
      "alter function bellwire.rule_told() owner to bellwire_owner",
      "function_owner",
    ],
    [
      "with ids of another type",
      "alter table public.things alter owner_id type numeric",
      "function_outdated",
    ],
  ])("a rule that is %s", (_, damage, code) => {
    test("is named, and tells again when it is defined again", async () => {
      await createThings();
      await database.query(`${damage}; truncate bellwire.rule_error_log`);
      const found = await look();
      expect(found.findings).toEqual([expect.stringMatching(`^told ${code}: `)]);
      expect(found.levels).toEqual(["broken"]);
      expect(found.fixes).toEqual(["Run bellwire rules apply DIR, or define the rule again."]);
      expect(found.needs).toContain("Rules need a person, see above.");
      await database.query("insert into public.things values (1, 'lost')");
      await database.query(RULE);
      await database.query(`
        truncate bellwire.notifications, bellwire.rule_error_log;
        insert into public.owners values (1, 'Ann');
        insert into public.things values (1, 'told')`);
      expect(await database.query("select title from bellwire.notifications")).toEqual([
        { title: "told" },
      ]);
      expect(await look()).toMatchObject({ needs: [], findings: [] });
    });
  });

  test("a rule whose table was dropped has to be dropped, or defined elsewhere", async () => {
    await createThings();
    await database.query("drop table public.things");
    const { findings, fixes } = await look();
    expect(findings).toEqual(["told table_dropped: its table public.things was dropped"]);
    expect(fixes).toEqual([
      "Define the rule on another table, or drop it: select bellwire.drop_rule('told');",
    ]);
    expect(await database.query('select "table", enabled from bellwire.rules')).toEqual([
      { table: "public.things", enabled: false },
    ]);
  });

  test.each(["disable trigger rule_told", "enable replica trigger rule_told"])(
    "a rule is disabled by %s, and stays disabled until somebody enables it",
    async (disable) => {
      await createThings();
      await database.query(`alter table public.things ${disable}`);
      const disabled = ["told trigger_disabled: its trigger on public.things is disabled"];
      expect(await look()).toMatchObject({ levels: ["look"], findings: disabled });
      await database.query(RULE);
      await database.query(RULE.replace("'insert'", "'insert or update'"));
      expect((await look()).findings).toEqual(disabled);
    },
  );

  test("a rule whose table is renamed is well, whatever a view of the old name is for", async () => {
    await createThings();
    await database.query("alter table public.things rename to tasks");
    expect((await look()).findings).toEqual([]);
    await database.query("create view public.things as select * from public.tasks");
    expect((await look()).findings).toEqual([]);
    await database.query(`
      ${RULE.replace("public.things", "public.tasks")};
      drop view public.things;
      drop table public.tasks`);
    expect((await look()).findings).toEqual([
      "told table_dropped: its table public.tasks was dropped",
    ]);
  });

  test("failures of the last day are named, and older ones are not", async () => {
    await createThings();
    for (const failure of ["'22012', 'division by zero'", "'22003', 'out of range', 1, '{3,4}'"])
      await database.query(`select bellwire.record_rule_error('told', ${failure})`);
    const { findings, fixes } = await look();
    expect(findings).toEqual([
      expect.stringMatching(
        /^told failing: 2 errors since .+, the last at .+ for the row 4: 22003 out of range$/,
      ),
    ]);
    expect(fixes).toEqual([expect.stringContaining("where rule = 'told'")]);
    await database.query(
      "update bellwire.rule_error_log set last_at = now() - interval '25 hours'",
    );
    expect((await look()).findings).toEqual([]);
  });

  test("a rule whose table became a partition is broken; on a partition or a parent it is a note", async () => {
    await createThings();
    await database.query(`
      create table public.whole (owner_id int, note text) partition by list (owner_id);
      alter table public.whole attach partition public.things for values in (1)`);
    const limited =
      "told limited: does not fire for statements that name public.whole, of which public.things is a partition. Define another rule on public.whole";
    expect(await look()).toMatchObject({
      needs: ["Rules need a person, see above."],
      findings: [expect.stringMatching(/^told table_attached: /), limited],
    });
    await database.query(`select bellwire.drop_rule('told'); ${RULE}`);
    expect(await look()).toMatchObject({ needs: [], findings: [limited] });
    await database.query(`
      alter table public.whole detach partition public.things;
      drop table public.whole;
      create table public.part () inherits (public.things)`);
    expect((await look()).findings).toEqual([
      "told limited: does not fire for statements that name a table that inherits from public.things. Define another rule on each that is written directly: public.part",
    ]);
  });

  // Statement triggers are not inherited: that of the partitioned table fires, whatever its partitions have.
  test("a rule on a partitioned table does not depend on the triggers of its partitions", async () => {
    await database.query(`
      create table public.things (owner_id int, note text) partition by list (owner_id);
      create table public.things_1 partition of public.things for values in (1);
      ${RULE};
      alter table public.things_1 disable trigger all;
      truncate bellwire.notifications;
      insert into public.owners values (1, 'Ann');
      insert into public.things values (1, 'told')`);
    onTestFinished(dropThings);
    expect(await database.query("select from bellwire.notifications")).toHaveLength(1);
    expect(await look()).toMatchObject({ needs: [], levels: ["note"] });
  });

  test("a pending or changed file needs a person, and a migration that only a newer release knows does not", async () => {
    const later = "migrations/9999_later.sql";
    await database.query(
      `insert into bellwire.schema_history (name, kind, checksum, version) values ('${later}', 'versioned', '', '9')`,
    );
    expect(await look()).toMatchObject({ needs: [], text: expect.stringContaining("newer") });
    await database.query(`delete from bellwire.schema_history where name = '${later}'`);
    const ahead = ["Files are pending or changed: run migrate."];
    const file = "name = 'sql/public/notify.sql'";
    const [row] = await database.query<{ checksum: string }>(
      `select checksum from bellwire.schema_history where ${file}`,
    );
    await database.query(`update bellwire.schema_history set checksum = 'other' where ${file}`);
    expect((await look()).needs).toEqual(ahead);
    await database.query(`update bellwire.schema_history set checksum = $1 where ${file}`, [
      row?.checksum,
    ]);
    expect((await look()).needs).toEqual([]);
  });

  test("a user who may not define rules sees which rules do not fire, and that their queries were not checked", async () => {
    await createThings();
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    await database.query(
      `create role ${role} login password 'secret'; grant bellwire_service to ${role}; grant select on all tables in schema bellwire to ${role}`,
    );
    onTestFinished(async () => {
      await database.query(`drop owned by ${role}; drop role ${role}`);
    });
    const url = database.url.replace(/^([^:]+:\/\/)([^@/]*@)?/, `$1${role}:secret@`);
    await database.query("alter table public.things disable trigger rule_told");
    expect((await status({ url })).ruleFindings).toMatchObject([
      { rule: "told", code: "trigger_disabled" },
      { rule: "(all)", code: "not_checked", level: "note" },
    ]);
  });

  test("a hand-written trigger that would fail a writer is reported with the missing grants", async () => {
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    await database.query(`
      create role ${role};
      create table public.orders (id int);
      grant insert (id) on public.orders to ${role};
      create function public.orders_tell() returns trigger language plpgsql as $$
        begin perform Bellwire . "notify"('1', 'order.made'); return null; end $$;
      create trigger orders_tell after insert on public.orders for each row execute function public.orders_tell()`);
    onTestFinished(async () => {
      await database.query(
        `drop table public.orders; drop function public.orders_tell(); drop owned by ${role}; drop role ${role}`,
      );
    });
    const writer = await database.connect();
    await writer.query(`set role ${role}`);
    const write = () => writer.query("insert into public.orders (id) values (1)");
    await expect(write()).rejects.toMatchObject({ code: "42501" });

    const found = await look();
    expect(found.triggers).toEqual([
      {
        trigger: "orders_tell on public.orders",
        calls: "bellwire.notify()",
        role,
        grants: `grant usage on schema bellwire to ${role}; grant execute on function bellwire.notify to ${role};`,
      },
    ]);
    expect(found.needs).toEqual(["Triggers are broken, see above."]);
    expect(found.text).toMatch(/^trigger +broken +orders_tell on public.orders: /m);

    await database.query(found.triggers[0]?.grants ?? "");
    await write();
    expect((await look()).triggers).toEqual([]);

    // It runs as its owner, so the owner needs the grants and the writer does not.
    await database.query(`
      revoke all on function bellwire.notify from ${role};
      alter function public.orders_tell() security definer`);
    await write();
    expect((await look()).triggers).toEqual([]);
    await database.query(`alter function public.orders_tell() owner to ${role}`);
    expect((await look()).triggers).toHaveLength(1);
  });
});
