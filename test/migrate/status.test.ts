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
    expect(await look()).toMatchObject({ broken: false, notes: [], triggers: [] });
    await database.query(`
      select bellwire.drop_rule(name) from bellwire.rules;
      create table public.owners (id int, name text);
      grant select on public.owners to bellwire_rules`);
    return () => database.close();
  });

  const look = async (folders: string[] = []) => {
    const found = await status({ url: database.url, folders });
    return {
      broken: found.broken,
      notes: found.ruleNotes.map(({ rule, note }) => `${rule}: ${note}`),
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
    onTestFinished(async () => {
      await database.query(
        "drop table if exists public.things cascade; select bellwire.drop_rule('told')",
      );
    });
  }

  test.each([
    [
      "alter table public.things rename column note to remark",
      "alter table public.things rename column remark to note",
      "column n.note does not exist. new_rows and old_rows have the columns of public.things: owner_id, remark.",
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
      expect(await look()).toMatchObject({ broken: false, notes: [] });
      await database.query(damage);
      const found = await look();
      expect(found.notes).toEqual([expect.stringContaining(`told: ${said}`)]);
      expect(found.broken).toBe(true);
      expect(found.text).toMatch(/^rule +broken +told: /m);
      expect(await traces()).toEqual(before);
      await database.query(repair);
      expect(await look()).toMatchObject({ broken: false, notes: [] });
    },
  );

  test.each([
    ["its table", "drop table public.things cascade", /^told: its table was dropped/],
    ["its trigger", "drop trigger rule_told on public.things", /^told: its trigger was dropped/],
  ])("a rule that has lost %s is broken", async (_, damage, said) => {
    await createThings();
    await database.query(damage);
    const { notes, broken } = await look();
    expect(notes).toEqual([expect.stringMatching(said)]);
    expect(broken).toBe(true);
  });

  test("a rule whose table became a partition or a child gets a note, and is not broken", async () => {
    await createThings();
    await database.query(`
      create table public.whole (owner_id int, note text) partition by list (owner_id);
      alter table public.whole attach partition public.things for values in (1)`);
    expect(await look()).toMatchObject({
      broken: false,
      notes: [
        "told: does not fire for statements that name public.whole, of which public.things is a partition. Define another rule on public.whole",
      ],
    });
    await database.query(`
      alter table public.whole detach partition public.things;
      drop table public.whole;
      create table public.part () inherits (public.things)`);
    expect((await look()).notes).toEqual([
      "told: does not fire for statements that name a table that inherits from public.things. Define another rule on each that is written directly: public.part",
    ]);
  });

  test("a user who may not define rules gets a note that the rules were not checked", async () => {
    await createThings();
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    await database.query(
      `create role ${role} login password 'secret'; grant bellwire_service to ${role}; grant select on all tables in schema bellwire to ${role}`,
    );
    onTestFinished(async () => {
      await database.query(`drop owned by ${role}; drop role ${role}`);
    });
    const url = database.url.replace(/^([^:]+:\/\/)([^@/]*@)?/, `$1${role}:secret@`);
    expect((await status({ url })).ruleNotes).toEqual([
      {
        rule: "(all)",
        note: "not checked: that needs membership of bellwire_owner",
        isBroken: false,
      },
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
    expect(found.broken).toBe(true);
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
