import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type pg from "pg";
import { afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { PACKAGE_ROOT, readFiles } from "../../src/migrate/files.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const FILES = readFiles({ folders: ["sql/example", "sql/rules"] })
  .filter(({ kind }) => kind === "repeatable")
  .map(({ name }) => name);

const DBA_DOCS = readFileSync(join(PACKAGE_ROOT, "docs/dba.md"), "utf8");

/** Files of sql/internal/ that make no object. */
const WITHOUT_OBJECT = ["renew_rules", "rules_rights", "service_rights"];

/** The files of a folder of sql/. Each makes the object that it is named after, except those above. */
const listObjects = (folder: "internal" | "public") =>
  FILES.filter((file) => file.startsWith(`sql/${folder}/`)).map((file) => {
    const object = basename(file, ".sql");
    return { file, object, isObject: !WITHOUT_OBJECT.includes(object) };
  });

/** Functions that every role with usage on the schema may execute. */
const PUBLIC_FUNCTIONS = ["bellwire.preview(text)", "bellwire.shorten(text)"];

/** Functions that the service may execute. */
const SERVICE_FUNCTIONS = [
  "bellwire.adopt_restored_rows()",
  "bellwire.begin_history()",
  "bellwire.can_send_as_one_event(bellwire.mark_alls,pg_snapshot)",
  "bellwire.changes_for(pg_snapshot[],text[],pg_snapshot[],integer[],bigint[],integer,integer,integer,bigint[],pg_snapshot[],text)",
  "bellwire.changes_since(pg_snapshot,pg_snapshot,integer,bigint,integer,integer)",
  "bellwire.count_unread(text)",
  "bellwire.cut_text(text,integer)",
  "bellwire.epoch()",
  "bellwire.expiry_of(xid8,xid8[],xid8)",
  "bellwire.is_as_marked(bellwire.mark_alls,bigint,timestamp with time zone,timestamp with time zone,timestamp with time zone)",
  "bellwire.is_in_read(integer,xid8,xid8,pg_snapshot,pg_snapshot)",
  "bellwire.is_unchanged(text,pg_snapshot,xid8)",
  "bellwire.issue_ticket(bytea,text,timestamp with time zone,timestamp with time zone,interval)",
  "bellwire.mark_all(text,text,bigint,text,pg_snapshot,text,pg_snapshot,bigint)",
  "bellwire.mute_types(text,text[])",
  "bellwire.new_rows_since(pg_snapshot,integer,integer)",
  "bellwire.newest_change()",
  "bellwire.newest_other_change()",
  "bellwire.preview(text)",
  "bellwire.prune(timestamp with time zone)",
  "bellwire.recipient_changes_since(text,pg_snapshot,xid8,xid8[],bellwire.mark_alls)",
  "bellwire.redeem_ticket(bytea)",
  "bellwire.shorten(text)",
  "bellwire.stored_bytes(integer,text,text,text,text,text,jsonb,integer)",
  "bellwire.suspend_wakeups_for(integer)",
  "bellwire.triggers_fire()",
  "bellwire.wakeups_suspended_ms()",
  "bellwire.wire_time(timestamp with time zone)",
];

/** Functions that rules may execute, besides their own, which only a trigger can call. */
const RULE_FUNCTIONS = [
  "bellwire.insert_valid_rows(text,bellwire.told[],text[])",
  "bellwire.is_wanted(text,text,text)",
  "bellwire.preview(text)",
  "bellwire.record_rule_error(text,text,text,bigint,text[])",
  "bellwire.revoke(text)",
  "bellwire.row_key(oid)",
  "bellwire.rule_answer(text,text[],text)",
  "bellwire.rule_source(text,text)",
  "bellwire.run_as_rules(text,anyarray)",
  "bellwire.same_id(bigint)",
  "bellwire.same_id(integer)",
  "bellwire.same_id(text)",
  "bellwire.same_id(uuid)",
  "bellwire.shorten(text)",
  "bellwire.wake_listeners()",
  "bellwire.wakeups_are_suspended()",
];

/** Functions that run with their owner's rights. No other may. */
const DEFINER_FUNCTIONS = [
  "adopt_restored_rows",
  "begin_history",
  "issue_ticket",
  "mute_types",
  "notifications_removed",
  "notifications_wake",
  "notify",
  "prune",
  "record_rule_error",
  "redeem_ticket",
  "resume_wakeups",
  "revoke",
  "run_as_rules",
  "suspend_wakeups",
  "suspend_wakeups_for",
];

/** An audit of pg_proc: one row for each finding. */
const AUDIT = `
  select p.oid::regprocedure::text as function, finding
    from pg_proc p
   cross join lateral (values
           ('its search_path is the caller''s',
            -- what an SQL-standard body names was looked up when it was created
            p.prosqlbody is null and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)),
           ('it avoids a kind of plan at a cost for which PostgreSQL compiles the plan, and may',
            p.proconfig::text ~ 'enable_[a-z]+=off' and not 'jit=off' = any (p.proconfig)),
           ('it does not belong to bellwire_owner, or as a rule''s to bellwire_rules',
            p.proowner <> case
              when exists (select from bellwire.rule_definitions d where to_regprocedure(d.function) = p.oid)
                   or p.proname = 'run_as_rules'
              then 'bellwire_rules'::regrole
              else 'bellwire_owner'::regrole
            end),
           ('it runs with its owner''s rights, and is not known to',
            p.prosecdef and p.proname <> all ($1) and not exists (
              select from bellwire.rule_definitions d where to_regprocedure(d.function) = p.oid)),
           ('anybody may execute it',
            p.oid::regprocedure::text <> all ($2) and has_function_privilege('public', p.oid, 'execute')),
           ('bellwire_service may execute it, and need not',
            p.oid::regprocedure::text <> all ($3) and has_function_privilege('bellwire_service', p.oid, 'execute'))
         ) as audit (finding, is_so)
   where p.pronamespace = 'bellwire'::regnamespace
     and is_so
   order by 1, 2`;

/** Everything that the files make or grant, one object a row. */
const CATALOG = `
  select 'function' as kind, p.oid::regprocedure::text as name, pg_get_functiondef(p.oid) as definition,
         p.proowner::regrole::text as owner, p.proacl::text as rights, obj_description(p.oid, 'pg_proc') as comment
    from pg_proc p
   where p.pronamespace in ('bellwire'::regnamespace, 'public'::regnamespace)
  union all
  select c.relkind::text, c.oid::regclass::text,
         concat_ws(E'\\n', pg_get_viewdef(c.oid), (
           select string_agg(format('%s %s %s %s %s', a.attname, a.atttypid::regtype, a.attnotnull, a.attacl, pg_get_expr(d.adbin, d.adrelid)), E'\\n' order by a.attnum)
             from pg_attribute a
             left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = c.oid and a.attnum > 0
         )),
         c.relowner::regrole::text, c.relacl::text, obj_description(c.oid, 'pg_class')
    from pg_class c
   where c.relnamespace in ('bellwire'::regnamespace, 'public'::regnamespace)
  union all
  select 'trigger', t.tgrelid::regclass || ' ' || t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text, null,
         obj_description(t.oid, 'pg_trigger')
    from pg_trigger t
   where not t.tgisinternal
  union all
  select 'constraint', c.conrelid::regclass || ' ' || c.conname, pg_get_constraintdef(c.oid), null, null, null
    from pg_constraint c
   where c.connamespace in ('bellwire'::regnamespace, 'public'::regnamespace)
  union all
  select 'schema', n.nspname, null, n.nspowner::regrole::text, n.nspacl::text, obj_description(n.oid, 'pg_namespace')
    from pg_namespace n
   where n.nspname in ('bellwire', 'public')
  union all
  select 'rule', d.name, to_jsonb(d)::text, null, null, null
    from bellwire.rule_definitions d
  union all
  select 'user', u.id::text, u.name, null, null, null
    from public.users u
  union all
  select 'task', t.id::text, t.title, null, null, null
    from public.tasks t`;

/** What CATALOG lists now and did not at the start, and the reverse. */
const CHANGES = `
    with now as (${CATALOG})
  (table now except table pg_temp.at_start)
   union all
  (table pg_temp.at_start except table now)
   order by 1, 2, 3`;

describe.each(inject("servers"))("the files of sql/ on $name", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];
  /** For tests that roll back what they did. */
  let psql: pg.Client;

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    psql = await database.connect();
    return () => database.close();
  });

  describe("run once more by hand,", () => {
    beforeAll(async () => {
      const { rowCount } = await psql.query(`create temp table at_start as ${CATALOG}`);
      expect(rowCount).toBeGreaterThan(50);
    });
    beforeEach(() => psql.query("begin"));
    afterEach(() => psql.query("rollback"));

    test.each(FILES)("%s changes nothing", async (name) => {
      await psql.query(readFileSync(join(PACKAGE_ROOT, name), "utf8"));
      expect((await psql.query(CHANGES)).rows).toEqual([]);
    });

    test("a changed function would fail the test above", async () => {
      await psql.query("revoke execute on function bellwire.preview(text) from public");
      expect((await psql.query(CHANGES)).rows).toMatchObject([
        { name: "bellwire.preview(text)" },
        { name: "bellwire.preview(text)" },
      ]);
    });
  });

  // A body is read when it is called, by the caller's standard_conforming_strings.
  test("have a backslash only in e'…', which every setting reads alike", () => {
    const texts = FILES.flatMap(
      (name) =>
        readFileSync(join(PACKAGE_ROOT, name), "utf8").match(
          /--.*|\be'(?:''|\\.|[^'\\])*'|'(?:''|[^'])*'/gi,
        ) ?? [],
    );
    expect(texts.filter((text) => text.startsWith("'") && text.includes("\\"))).toEqual([]);
  });

  test("make one object each, named like the file, and say how to remove it", () => {
    for (const name of FILES) {
      const text = readFileSync(join(PACKAGE_ROOT, name), "utf8");
      expect(text, name).toMatch(/^-- /);
      expect(text, name).toMatch(/^-- Remove {3}/m);
    }
    for (const { file, object, isObject } of [
      ...listObjects("internal"),
      ...listObjects("public"),
    ]) {
      const text = readFileSync(join(PACKAGE_ROOT, file), "utf8");
      const made = [...text.matchAll(/^create or replace (?:function|view) bellwire\.(\w+)/gm)];
      // A function may have several forms, for several types.
      expect([...new Set(made.map(([, name]) => name))]).toEqual(isObject ? [object] : []);
    }
  });

  test("are all in a folder that says who may call them, or what they are", () => {
    const inside = readdirSync(join(PACKAGE_ROOT, "sql"));
    expect(inside.toSorted()).toEqual(["example", "internal", "public", "rules"]);
  });

  test("are listed in docs/dba.md, if they are public, and the others are not", () => {
    const [, section] = DBA_DOCS.split("\n## What you may call\n");
    const [table = ""] = section?.split("\n## ") ?? [];
    const listed = [...table.matchAll(/^\| `(\w+)(?:\(\))?`/gm)].map(([, object]) => object);
    const objects = listObjects("public").map(({ object }) => object);
    expect(listed.toSorted()).toEqual(objects.toSorted());
  });

  test("say in \\df+ whether a function may be called: the comment of an internal one begins so", async () => {
    const functions = await query<{ name: string; is_internal: boolean }>(
      `select distinct p.proname as name, obj_description(p.oid, 'pg_proc') like 'Internal. %' as is_internal
         from pg_proc p
        where p.pronamespace = 'bellwire'::regnamespace
          and not exists (select from bellwire.rule_definitions d where to_regprocedure(d.function) = p.oid)`,
    );
    const named = (isInternal: boolean) =>
      functions.filter((found) => found.is_internal === isInternal).map(({ name }) => name);
    const views = ["rules", "rule_errors", "rule_faults"];
    const expected = (folder: "internal" | "public") =>
      listObjects(folder)
        .filter(({ object, isObject }) => isObject && !views.includes(object))
        .map(({ object }) => object);
    expect(named(true).toSorted()).toEqual(expected("internal").toSorted());
    expect(named(false).toSorted()).toEqual(expected("public").toSorted());
  });

  describe("leave a schema in which", () => {
    test("an audit of pg_proc finds nothing", async () => {
      expect(await query(AUDIT, [DEFINER_FUNCTIONS, PUBLIC_FUNCTIONS, SERVICE_FUNCTIONS])).toEqual(
        [],
      );
    });

    test("that audit would find a new function without protection", async () => {
      const client = await database.connect();
      await client.query(
        `begin;
         create function bellwire.forgotten() returns int language sql security definer as 'select 1'`,
      );
      const { rows } = await client.query(AUDIT, [
        DEFINER_FUNCTIONS,
        PUBLIC_FUNCTIONS,
        SERVICE_FUNCTIONS,
      ]);
      expect(rows.map(({ finding }) => finding)).toEqual([
        "anybody may execute it",
        "bellwire_service may execute it, and need not",
        "it does not belong to bellwire_owner, or as a rule's to bellwire_rules",
        "it runs with its owner's rights, and is not known to",
        "its search_path is the caller's",
      ]);
      await client.query("rollback");
    });

    test("every table and view belongs to bellwire_owner, and no role can log in or is a superuser", async () => {
      expect(
        await query(
          `select oid::regclass::text as name from pg_class
            where relnamespace = 'bellwire'::regnamespace and relowner <> 'bellwire_owner'::regrole`,
        ),
      ).toEqual([]);
      expect(
        await query(
          `select rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls
             from pg_roles where rolname in ('bellwire_owner', 'bellwire_rules', 'bellwire_service') order by 1`,
        ),
      ).toEqual(
        ["bellwire_owner", "bellwire_rules", "bellwire_service"].map((rolname) => ({
          rolname,
          rolcanlogin: false,
          rolsuper: false,
          rolcreaterole: false,
          rolcreatedb: false,
          rolbypassrls: false,
        })),
      );
    });

    test("only functions that must write for others are SECURITY DEFINER", async () => {
      const rows = await query<{ name: string }>(
        `select proname as name from pg_proc
          where pronamespace = 'bellwire'::regnamespace and prosecdef
            and proname not like 'rule\\_%' order by 1`,
      );
      expect(rows.map(({ name }) => name)).toEqual(DEFINER_FUNCTIONS);
    });

    test.each([
      ["PUBLIC", "public", PUBLIC_FUNCTIONS],
      ["bellwire_service", "bellwire_service", SERVICE_FUNCTIONS],
      ["A rule", "bellwire_rules", RULE_FUNCTIONS],
    ])("%s may execute just what it needs", async (_, role, functions) => {
      const rows = await query<{ name: string }>(
        `select oid::regprocedure::text as name from pg_proc
          where pronamespace = 'bellwire'::regnamespace
            and not exists (select from bellwire.rule_definitions d where to_regprocedure(d.function) = oid)
            and has_function_privilege($1, oid, 'execute') order by 1`,
        [role],
      );
      expect(rows.map(({ name }) => name)).toEqual(functions);
    });

    test("PUBLIC has no right on the schema, nor on anything that holds rows", async () => {
      expect(
        await query(
          `select n.nspname as name from pg_namespace n
            where nspname = 'bellwire' and has_schema_privilege('public', n.oid, 'usage, create')
           union all
           select c.relname from pg_class c
            where relnamespace = 'bellwire'::regnamespace and relkind in ('r', 'v')
              and has_table_privilege('public', c.oid, 'select, insert, update, delete, truncate, references, trigger')`,
        ),
      ).toEqual([]);
    });

    test("every function, every view and every table has a comment", async () => {
      expect(
        await query(
          `select oid::regprocedure::text as name from pg_proc
            where pronamespace = 'bellwire'::regnamespace
              and coalesce(obj_description(oid, 'pg_proc'), '') = ''
           union all
           select oid::regclass::text from pg_class
            where relnamespace = 'bellwire'::regnamespace
              and relkind in ('v', 'r')
              and coalesce(obj_description(oid, 'pg_class'), '') = ''`,
        ),
      ).toEqual([]);
    });

    test("define_rule leaves behind neither its temporary objects nor the right to make them", async () => {
      expect(
        await query(
          `select to_regclass('bellwire.rule_in_question') as view,
                  to_regproc('bellwire.look_at_query') as function,
                  has_schema_privilege('bellwire_rules', 'bellwire', 'create') as may_create`,
        ),
      ).toEqual([{ view: null, function: null, may_create: false }]);
    });

    test("bellwire_rules owns the rules' functions and run_as_rules, and nothing else", async () => {
      expect(
        await query(
          `select classid::regclass::text as kind,
                  coalesce((select prorettype = 'trigger'::regtype or proname = 'run_as_rules' from pg_proc where oid = objid), false) as is_rule
             from pg_shdepend
            where refobjid = 'bellwire_rules'::regrole and deptype = 'o'
              and dbid = (select oid from pg_database where datname = current_database())
            group by 1, 2`,
        ),
      ).toEqual([{ kind: "pg_proc", is_rule: true }]);
    });
  });

  describe("bellwire_rules", () => {
    beforeEach(() => psql.query("begin; set local role bellwire_rules"));
    afterEach(() => psql.query("rollback"));

    test.each([
      "select * from bellwire.notifications",
      "update bellwire.notifications set read_at = now()",
      "delete from bellwire.notifications",
      "insert into bellwire.notifications (recipient_id, type, created_xid) values ('1', 'x', '3')",
      "insert into bellwire.preferences values ('1', '{x}')",
      "select * from bellwire.revocations",
      "select * from bellwire.tickets",
      "select * from bellwire.rule_error_log",
      "update bellwire.rule_definitions set query = 'x'",
      "select bellwire.define_rule('x', null, 'x', 'x')",
      "select setval('bellwire.wakeups_suspended_until_ms', 1)",
      "select bellwire.notify('1', 'test')",
      "create table bellwire.mine ()",
      "create function bellwire.mine() returns int language sql as 'select 1'",
      "create or replace function bellwire.rule_message_received() returns trigger language plpgsql as 'begin return null; end'",
      "drop function bellwire.preview(text)",
      "select * from public.messages",
      "update public.tasks set status = 'completed'",
    ])("may not: %s", async (sql) => {
      await expect(psql.query(sql)).rejects.toMatchObject({ code: "42501" });
    });
  });

  describe("bellwire_service", () => {
    beforeEach(() =>
      psql.query("begin; select bellwire.notify('1', 'test'); set local role bellwire_service"),
    );
    afterEach(() => psql.query("rollback"));

    test.each([
      "insert into bellwire.notifications (recipient_id, type) values ('1', 'x')",
      "delete from bellwire.notifications",
      "truncate bellwire.notifications",
      "update bellwire.notifications set title = 'x'",
      "update bellwire.notifications set recipient_id = '2'",
      "update bellwire.notifications set changed_xid = '3'",
      "delete from bellwire.preferences",
      "insert into bellwire.preferences values ('1', '{x}')",
      "update bellwire.preferences set muted_types = '{x}'",
      "select * from bellwire.tickets",
      "insert into bellwire.tickets values ('x', '1', now(), now(), now())",
      "insert into bellwire.revocations values ('1', now(), '3')",
      "delete from bellwire.revocations",
      "update bellwire.rule_definitions set query = 'x'",
      "delete from bellwire.rule_error_log",
      "select bellwire.notify('1', 'test')",
      "select bellwire.revoke('1')",
      "select bellwire.wake_listeners()",
      "select bellwire.record_rule_error('x', 'x', 'x')",
      "create table bellwire.mine ()",
      "create function bellwire.mine() returns int language sql as 'select 1'",
      "alter table bellwire.notifications disable trigger notifications_stamp",
      "drop function bellwire.prune(timestamptz)",
      "select * from public.messages",
    ])("may not: %s", async (sql) => {
      await expect(psql.query(sql)).rejects.toMatchObject({ code: "42501" });
    });

    test.each([
      ["bellwire_service", "bellwire_owner", false],
      ["bellwire_service", "bellwire_rules", false],
      ["bellwire_rules", "bellwire_owner", false],
      ["bellwire_owner", "bellwire_rules", true],
    ])("%s is a member of %s: %s", async (role, of, member) => {
      expect(await query("select pg_has_role($1, $2, 'member') as member", [role, of])).toEqual([
        { member },
      ]);
    });

    test("may read, change a notification's state and a recipient's preferences, and run maintenance", async () => {
      for (const sql of [
        "select * from bellwire.notifications, bellwire.revocations",
        "select * from bellwire.rules, bellwire.rule_errors",
        "update bellwire.notifications set seen_at = now(), read_at = now(), archived_at = now()",
        "select bellwire.mute_types('2', '{x}'), bellwire.mute_types('2', '{}')",
        "select bellwire.issue_ticket('y', '1', now(), now() + interval '1 hour', '30 s'), bellwire.redeem_ticket('y')",
        "select * from bellwire.changes_since(pg_current_snapshot())",
        "select * from bellwire.changes_for(array[pg_current_snapshot()], array['1'])",
        "select bellwire.suspend_wakeups_for(0), bellwire.wakeups_suspended_ms()",
        "select bellwire.epoch(), bellwire.prune('2000-01-01')",
      ]) {
        await psql.query(sql);
      }
      const { rows } = await psql.query(
        "select changed_xid = pg_current_xact_id() as stamped from bellwire.notifications where read_at is not null",
      );
      expect(rows).toEqual([{ stamped: true }]);
      await psql.query("select bellwire.adopt_restored_rows()");
    });
  });

  test("a caller's own tables, functions, operators and search_path change nothing", async () => {
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    const client = await database.connect();
    await client.query(`
      begin;
      create role ${role};
      grant bellwire_service to ${role};
      grant create on schema public to ${role};
      grant temporary on database ${new URL(database.url).pathname.slice(1)} to ${role};
      grant insert, update on all tables in schema public to ${role};
      grant select on all tables in schema public to ${role};
      grant execute on function bellwire.notify, bellwire.revoke to ${role};
      set role ${role};
    `);
    // Each of these records who ran it. None may be run, least of all by bellwire_owner.
    const caught = "begin raise exception 'hijacked as %', current_user; end";
    const planted = ["public", "pg_temp"].flatMap((schema) => [
      ...[
        "notifications",
        "preferences",
        "tickets",
        "revocations",
        "rule_error_log",
        "new_rows",
        "old_rows",
      ].map((table) => `create ${schema === "pg_temp" ? "temp " : ""}table ${table} (id int)`),
      ...[
        "is_wanted(text, text, text)",
        "wake_listeners()",
        "preview(text)",
        "unnest(text[])",
        "pg_notify(text, text)",
        "lower(text)",
        "now()",
        "length(text)",
        "pg_current_xact_id()",
        "clock_timestamp()",
        "jsonb_build_object(variadic text[])",
      ].map(
        (signature) =>
          `create function ${schema}.${signature} returns text language plpgsql as $$ ${caught} $$`,
      ),
      `create function ${schema}.differs(text, text) returns boolean language plpgsql as $$ ${caught} $$`,
      `create operator ${schema}.<> (leftarg = text, rightarg = text, function = ${schema}.differs)`,
      `create operator ${schema}.= (leftarg = text, rightarg = text, function = ${schema}.differs)`,
      `create operator ${schema}.|| (leftarg = text, rightarg = text, function = ${schema}.differs)`,
    ]);
    for (const sql of planted) await client.query(sql);
    await client.query("set local search_path = pg_temp, public, pg_catalog");

    await client.query(`
      insert into public.users (name) values ('Eve'), ('Mallory');
      insert into public.messages (sender_id, recipient_id, body) values (1, 2, 'x');
      insert into public.tasks (customer_id, title) values (1, 'x');
      update public.tasks set executor_id = 2;
      update public.tasks set status = 'completed';
      update public.users set blocked = true where id = 2;
      select bellwire.notify('1', 'test', '2', dedupe_key => 'k');
      select bellwire.revoke('1');
      update bellwire.notifications set read_at = pg_catalog.now();
      select * from bellwire.changes_since(pg_catalog.pg_current_snapshot());
      select * from bellwire.changes_for(array[pg_catalog.pg_current_snapshot()], array['1']);
      select bellwire.adopt_restored_rows(), bellwire.prune('2000-01-01'), bellwire.epoch();
      select bellwire.mute_types('1', '{x}'), bellwire.issue_ticket('x', '1', '2026-01-01', '2126-01-01', '30 s');
      select * from bellwire.redeem_ticket('x');
      select * from bellwire.rules;
    `);
    const { rows } = await client.query(
      `select (select pg_catalog.count(*)::int from bellwire.notifications) as told,
              (select pg_catalog.count(*)::int from bellwire.revocations) as revoked,
              (select pg_catalog.count(*)::int from bellwire.rule_errors) as errors`,
    );
    expect(rows).toEqual([{ told: expect.any(Number), revoked: 2, errors: 0 }]);
    expect(rows[0].told).toBeGreaterThan(3);
    // The traps work: an unprotected function runs one.
    await expect(client.query("select 'a'::text <> 'b'::text")).rejects.toThrow(
      `hijacked as ${role}`,
    );
    await client.query("rollback");
  });
});
