import type pg from "pg";
import { afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { createDatabase } from "../support/database.ts";

/** Code of a table's owner that a rule's query runs, and how the owner changes it after the rule was defined. */
const LATER: [title: string, query: string, change: string][] = [
  [
    "a function that it calls",
    "select public.name_of(w.recipient) as recipient_id, 'x' as type from new_rows w",
    "create or replace function public.name_of(bigint) returns text stable language plpgsql as $$ begin return public.trap($1); end $$",
  ],
  [
    "a view that it reads",
    "select v.name as recipient_id, 'x' as type from new_rows w join public.named v on v.id = w.recipient",
    "create or replace view public.named as select n.id, public.trap(n.id) as name from generate_series(1::bigint, 9) n (id)",
  ],
  [
    "the type of a column, by its cast to text",
    "select w.tag as recipient_id, 'x' as type from new_rows w",
    `create type public.tagged as enum ('7');
     create function public.untag(public.tagged) returns text stable language plpgsql as $$ begin return public.trap(7); end $$;
     create cast (public.tagged as text) with function public.untag(public.tagged) as implicit;
     alter table public.work alter tag drop default, alter tag type public.tagged using '7'::public.tagged, alter tag set default '7'`,
  ],
  [
    "a domain's check, behind a cast",
    "select w.recipient::public.tame as recipient_id, 'x' as type from new_rows w",
    "alter domain public.tame add check (public.trap(value::bigint) is not null)",
  ],
];

/** Statements that this code tries. The schema's owner may run them, and a rule may not. */
const DAMAGE = [
  "delete from bellwire.notifications",
  "select bellwire.define_rule('evil', 'public.work', 'insert', 'select 1')",
  "delete from bellwire.revocations",
  "update bellwire.notifications set title = 'x'",
  "create table bellwire.mine ()",
  "create or replace function bellwire.wake_listeners() returns void language sql as ''",
  "drop function bellwire.notify",
  "set role bellwire_owner",
  "set local role bellwire_owner",
  "reset role",
  "set session authorization default",
];

describe.each(inject("servers"))("code that a rule's query runs, on $name,", (server) => {
  let client: pg.Client;
  let notices: (string | undefined)[];

  const query = async (sql: string, params: unknown[] = []) =>
    (await client.query(sql, params)).rows;

  beforeAll(async () => {
    const database = await createDatabase(server);
    client = await database.connect();
    client.on("notice", ({ message }) => notices.push(message));
    await client.query(`
      select bellwire.drop_rule(name) from bellwire.rules;
      create table public.work (id bigint generated always as identity, recipient bigint default 7, tag text default '7');
      create table public.shared (id bigint);
      insert into public.shared values (7);
      grant select on public.shared to bellwire_rules;
      create domain public.tame as text;
      create table public.seen (who text, what text);
      grant insert on public.seen to public;
      -- Records the role it runs as, and the outcome of the damage. A stable function calls it, and it is volatile, so it may write.
      create function public.note_and_damage(damage text) returns void volatile language plpgsql as $$
      begin
        begin
          execute damage;
          insert into public.seen values (current_user, 'done');
        exception when others then
          insert into public.seen values (current_user, sqlstate);
        end;
      end $$;
      create function public.damage() returns text immutable language sql as 'select ''select 1''';
      create function public.trap(bigint) returns text stable language plpgsql as $$
      begin perform public.note_and_damage(public.damage()); return $1::text; end $$;
      create function public.name_of(bigint) returns text stable language sql as 'select $1::text';
      create view public.named as select n.id, n.id::text as name from generate_series(1::bigint, 9) n (id);
      grant select on public.named to bellwire_rules`);
    return () => database.close();
  });

  beforeEach(async () => {
    notices = [];
    await client.query("begin");
  });
  afterEach(() => client.query("rollback"));

  const define = (text: string, onError = "record") =>
    query("select bellwire.define_rule('told', 'public.work', 'insert', $1, $2)", [text, onError]);

  const setDamage = (sql: string) =>
    query(
      `create or replace function public.damage() returns text immutable language sql as $f$ select $d$${sql}$d$ $f$`,
    );

  describe.each(LATER)("%s", (_, text, change) => {
    test("changed after the rule was defined, has the rights of bellwire_rules", async () => {
      await define(text);
      await query(change);
      await query("insert into public.work default values");
      expect(await query("select distinct who, what from public.seen")).toEqual([
        { who: "bellwire_rules", what: "done" },
      ]);
      expect(
        await query(
          "select errors::int, recipient_id from bellwire.rules full join bellwire.notifications on true",
        ),
      ).toEqual([{ errors: 0, recipient_id: "7" }]);
    });
  });

  test.each([
    "security invoker",
    // A comparison of its own would run with the writer's rights, and could say that all is well.
    "security invoker set search_path = evil, pg_catalog",
  ])(
    "is not run when it made the rule's function run with another role's rights: %s",
    async (change) => {
      await query(`
      create schema evil;
      grant usage on schema evil to public;
      create function evil.differs(name, name) returns boolean volatile language plpgsql as $$
      begin perform public.note_and_damage('select 1'); return false; end $$;
      create operator evil.<> (leftarg = name, rightarg = name, function = evil.differs)`);
      await define("select public.trap(w.recipient) as recipient_id, 'x' as type from new_rows w");
      await setDamage(`alter function bellwire.rule_told() ${change}`);
      await query("insert into public.work default values");
      expect(await query("select distinct what from public.seen")).toEqual([{ what: "done" }]);
      await query("delete from public.seen");
      notices = [];
      await query("insert into public.work default values");
      expect(notices).toEqual([
        "bellwire: rule told is not run, because its function does not run as bellwire_rules; define it again",
      ]);
      expect(await query("select what from public.seen")).toEqual([]);
    },
  );

  test("may fire the rule again: the third level is recorded as an error, and the write succeeds", async () => {
    await define("select public.trap(w.recipient) as recipient_id, 'x' as type from new_rows w");
    await setDamage("insert into public.work default values");
    await query("grant insert on public.work to bellwire_rules");
    // The rule's statement computes the recipient once, so each level causes one of the next.
    await query("insert into public.work default values");
    expect(await query("select count(*)::int as n from public.work")).toEqual([{ n: 3 }]);
    expect(
      await query("select sqlstate, message, errors::int, silenced::int from bellwire.rule_errors"),
    ).toEqual([
      {
        sqlstate: "09000",
        message: "the rule's query fires the rule again",
        errors: 1,
        silenced: 1,
      },
    ]);
    expect(await query("select count(*)::int as n from bellwire.notifications")).toEqual([
      { n: 2 },
    ]);
  });

  test("does not count as recursion when the application's own triggers nest as deep", async () => {
    await query(`
      create function public.dig() returns trigger language plpgsql as $$
      begin
        if pg_trigger_depth() < 30 then insert into public.work default values; end if;
        return null;
      end $$;
      create trigger dig after insert on public.work for each row execute function public.dig()`);
    await define("select w.recipient as recipient_id, 'x' as type from new_rows w");
    await query("insert into public.work default values");
    expect(await query("select count(*)::int as n from bellwire.notifications")).toEqual([
      { n: 30 },
    ]);
    expect(await query("select * from bellwire.rule_errors")).toEqual([]);
  });

  test.each([
    ["a literal of a domain's composite", `'(7)'::public.boxed`, "(x.b).t"],
    ["a literal of a domain's array", `'{7}'::public.tame[]`, "x.b[1]"],
    ["an immutable function", "public.constant()", "x.b"],
  ])(
    "runs with the same rights when %s runs it during define_rule, and is rolled back",
    async (_, literal, recipient) => {
      await query(`
      create function public.constant() returns text immutable language plpgsql as $$ begin return public.trap(7); end $$;
      alter domain public.tame add check (public.trap(value::bigint) is not null);
      create type public.boxed as (t public.tame)`);
      // A notice reports the result, because everything else is rolled back.
      await query(`
      create or replace function public.note_and_damage(damage text) returns void volatile language plpgsql as $$
      begin
        insert into public.seen values (current_user, 'seen');
        begin reset role; exception when others then raise notice 'role is kept: %', sqlstate; end;
        raise notice 'ran as %', current_user;
      end $$`);
      await define(
        `select ${recipient} as recipient_id, 'x' as type from new_rows, (select ${literal} as b) x`,
      );
      expect([...new Set(notices)].sort()).toEqual([
        "ran as bellwire_rules",
        "role is kept: 42501",
      ]);
      expect(await query("select * from public.seen")).toEqual([]);
    },
  );

  test.each(DAMAGE)("cannot do what the schema's owner can: %s", async (sql) => {
    await define("select public.trap(w.recipient) as recipient_id, 'x' as type from new_rows w");
    await setDamage(sql);
    await query("insert into public.work default values");
    expect(await query("select distinct who, what from public.seen")).toEqual([
      { who: "bellwire_rules", what: expect.stringMatching(/^(42501|42601|0A000|22023)$/) },
    ]);
  });
});
