import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import {
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  inject,
  onTestFinished,
  test,
} from "vitest";
import { PACKAGE_ROOT } from "../../src/migrate/files.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

type Rule = { name: string; table: string; event: string; query: string; onError: string };

const RENEW_RULES = readFileSync(join(PACKAGE_ROOT, "sql/internal/renew_rules.sql"), "utf8");
const COLUMNS = "id, owner_id, note, status";
const KNOWN = "recipient_id, type, actor_id, title, body, link, data, dedupe_key";
const ONE_SELECT = "Write one SELECT without a semicolon, and nothing that modifies data.";
const SEE_DOCS = "See docs/dba.md for what a rule's query may be.";
const VIRTUAL =
  "A virtual generated column has no value in new_rows: write its expression in the query, or make it stored.";
const TELL_OWNER = "select r.owner_id as recipient_id, 'thing.made' as type from new_rows r";

/** Rules that define_rule refuses: the difference from a valid rule, the SQLSTATE, the message, the hint. */
const REFUSED: [
  title: string,
  differs: Partial<Rule>,
  code: string,
  message: string,
  hint?: string,
][] = [
  [
    "a query without recipient_id",
    { query: "select 'x' as type, 'y' as title from new_rows" },
    "42703",
    'the query does not return "recipient_id"',
    "It returns type, title. Return recipient_id and type, and any of actor_id, title, body, link, data, dedupe_key.",
  ],
  [
    "a query without type",
    { query: "select r.owner_id as recipient_id from new_rows r" },
    "42703",
    'the query does not return "type"',
    "It returns recipient_id. Return recipient_id and type, and any of actor_id, title, body, link, data, dedupe_key.",
  ],
  [
    "a result column that notifications do not have",
    { query: "select r.owner_id as recipient_id, 'x' as type, 1 as prio from new_rows r" },
    "42703",
    'the query returns "prio", which a notification does not have',
    `Return only columns of these names: ${KNOWN}.`,
  ],
  [
    "a result column without a name",
    { query: "select r.owner_id as recipient_id, 'x' as type, 1 + 1 from new_rows r" },
    "42703",
    'the query returns "?column?", which a notification does not have',
    `Return only columns of these names: ${KNOWN}.`,
  ],
  [
    "VALUES, which has no names",
    { query: "values (1, 'x')" },
    "42703",
    'the query returns "column1", which a notification does not have',
    `Return only columns of these names: ${KNOWN}.`,
  ],
  [
    "a result column returned twice",
    { query: `select 1 as recipient_id, r.owner_id as recipient_id, 'x' as type from new_rows r` },
    "42701",
    'column "recipient_id" specified more than once',
    SEE_DOCS,
  ],
  [
    "a column that the table does not have",
    { query: "select r.owner as recipient_id, 'x' as type from new_rows r" },
    "42703",
    "column r.owner does not exist",
    `new_rows and old_rows have the columns of public.things: ${COLUMNS}.`,
  ],
  [
    "an ambiguous column",
    {
      event: "update",
      query: "select owner_id as recipient_id, 'x' as type from new_rows, old_rows",
    },
    "42702",
    'column reference "owner_id" is ambiguous',
    `new_rows and old_rows have the columns of public.things: ${COLUMNS}.`,
  ],
  [
    "a table without its schema",
    { query: `${TELL_OWNER} join things t on t.id = r.id` },
    "42P01",
    'relation "things" does not exist',
    "Write the schema before each table, as in public.tasks, but not before new_rows and old_rows.",
  ],
  [
    "a table that bellwire_rules may not read",
    { query: `${TELL_OWNER} join public.secrets s on s.id = r.id` },
    "42501",
    "permission denied for table secrets",
    "Write into the rule's file: grant select on public.secrets to bellwire_rules; Rules run as that role.",
  ],
  [
    "a schema that bellwire_rules may not use",
    { query: `${TELL_OWNER} join hidden.things t on t.id = r.id` },
    "42501",
    "permission denied for schema hidden",
    "Write into the rule's file: grant usage on schema hidden to bellwire_rules; A schema that is dropped and created again loses its grants.",
  ],
  [
    "data that is not json",
    { query: "select r.owner_id as recipient_id, 'x' as type, r.note as data from new_rows r" },
    "42804",
    "data must be json or jsonb, not text",
    "Return jsonb_build_object('taskId', ...), for example.",
  ],
  [
    "a volatile function of the application",
    { query: "select public.count_up() as recipient_id, 'x' as type from new_rows" },
    "42P17",
    "the query calls public.count_up(), which is volatile and so may write",
    "Remove the call or, if the function only reads, declare it stable.",
  ],
  [
    "a volatile function behind an operator",
    {
      query:
        "select r.owner_id as recipient_id, 'x' as type from new_rows r where r.owner_id operator(public.<~>) 1",
    },
    "42P17",
    "the query calls public.touch(bigint,bigint), which is volatile and so may write",
    "Remove the call or, if the function only reads, declare it stable.",
  ],
  [
    "a function of PostgreSQL that writes",
    { query: "select nextval('public.things_id_seq') as recipient_id, 'x' as type from new_rows" },
    "42P17",
    "the query calls nextval(regclass), which is volatile and so may write",
    "Remove the call or, if the function only reads, declare it stable.",
  ],
  [
    "a function of PostgreSQL that writes, in from and nested",
    {
      query:
        "select r.owner_id as recipient_id, 'x' as type from new_rows r, lateral (select coalesce(pg_notify('x', ''), null)) n",
    },
    "42P17",
    "the query calls pg_notify(text,text), which is volatile and so may write",
    "Remove the call or, if the function only reads, declare it stable.",
  ],
  [
    "a CTE that modifies",
    {
      query:
        "with gone as (delete from public.things returning owner_id) select owner_id as recipient_id, 'x' as type from gone",
    },
    "0A000",
    "WITH clause containing a data-modifying statement must be at the top level",
    ONE_SELECT,
  ],
  [
    "an INSERT",
    {
      query:
        "insert into public.things (note) values ('x') returning id as recipient_id, note as type",
    },
    "42601",
    'syntax error at or near "into"',
    ONE_SELECT,
  ],
  [
    "SELECT INTO",
    { query: `select 1 as recipient_id, 'x' as type into public.copy` },
    "42601",
    "SELECT ... INTO is not allowed here",
    ONE_SELECT,
  ],
  ["no query at all", { query: "" }, "42601", 'syntax error at or near ")"', ONE_SELECT],
  [
    "a query that is only a comment",
    { query: "-- select" },
    "42601",
    'syntax error at or near ")"',
    ONE_SELECT,
  ],
  ["a semicolon", { query: `${TELL_OWNER};` }, "42601", 'syntax error at or near ";"', ONE_SELECT],
  [
    "two statements",
    { query: `${TELL_OWNER}; ${TELL_OWNER}` },
    "42601",
    'syntax error at or near ";"',
    ONE_SELECT,
  ],
  [
    "a second statement behind a closing parenthesis",
    { query: `${TELL_OWNER}) as told; drop table public.things; select * from (select 1` },
    "42P11",
    "cannot open multi-query plan as cursor",
    ONE_SELECT,
  ],
  [
    "a comment that is not closed",
    { query: `${TELL_OWNER} /* ` },
    "42601",
    'unterminated /* comment at or near "/* \n) as told"',
    ONE_SELECT,
  ],
  [
    "a parameter",
    { query: "select $1 as recipient_id, 'x' as type from new_rows" },
    "42P02",
    "there is no parameter $1",
    SEE_DOCS,
  ],
  [
    "a trigger's variable",
    { query: "select tg_op as recipient_id, 'x' as type from new_rows" },
    "42703",
    'column "tg_op" does not exist',
    `new_rows and old_rows have the columns of public.things: ${COLUMNS}.`,
  ],
  [
    "an event that rules do not have",
    { event: "truncate" },
    "22023",
    "on_event must be 'insert', 'update', 'delete' or 'insert or update', not 'truncate'",
  ],
  [
    "an event in capitals",
    { event: "INSERT" },
    "22023",
    "on_event must be 'insert', 'update', 'delete' or 'insert or update', not 'INSERT'",
  ],
  [
    "an unknown on_error",
    { onError: "ignore" },
    "22023",
    "on_error must be 'record' or 'raise', not 'ignore'",
  ],
  [
    "a view",
    { table: "public.things_seen" },
    "42809",
    "public.things_seen cannot have rules. Choose an ordinary or partitioned table of the application",
  ],
  [
    "Bellwire's own table",
    { table: "bellwire.notifications" },
    "42809",
    "bellwire.notifications cannot have rules. Choose an ordinary or partitioned table of the application",
  ],
  [
    "a table of the system",
    { table: "pg_catalog.pg_class" },
    "42809",
    "pg_class cannot have rules. Choose an ordinary or partitioned table of the application",
  ],
  [
    "a foreign table",
    { table: "public.far_away" },
    "42809",
    "public.far_away cannot have rules. Choose an ordinary or partitioned table of the application",
  ],
  [
    "a temporary table",
    { table: "pg_temp.passing" },
    "42809",
    "passing cannot have rules. Choose an ordinary or partitioned table of the application",
  ],
];

const BAD_NAMES = [
  "",
  "a\nb",
  "\t",
  "a\rb",
  "\u007f",
  "x".repeat(64),
  "я".repeat(32),
  "🔔".repeat(16),
];

/** Used for rules, schemas, tables and columns. */
const NAMES = [
  ...'message_received|MessageReceived|two words| before|after | |a"b|"|""|"quoted"|a\'b|\'|\'\'|a""b\'c'.split(
    "|",
  ),
  ...'a;b|;|weird"; drop table public.things;--|x\'); drop table public.things;--|"; select 1; --'.split(
    "|",
  ),
  ..."$$|$body$|$handler$|$template$|$define$|$as$|$1|%|%%|%I|%s|%1$s|%5$s|\\|\\'|a\\nb|E'x'".split(
    "|",
  ),
  ..."--|/*|*/|/* x */|(|)|()|a(b)|a,b|a.b|public.things|{|}|[]|@|#|#variable_conflict|<<x>>|:x|:funcid 1574|?|`|~|=".split(
    "|",
  ),
  ..."select|SELECT|table|user|null|new|old|told|new_rows|order|end|begin|true|default|rule_x|tg_op|found|sqlstate".split(
    "|",
  ),
  ..."recipient_id|type|data|dedupe_key|columns|1|1a|-1|é|e\u0301|Задача|任务|🔔|👩‍💻|a\u2028b|\ufeff|İi".split(
    "|",
  ),
  ...[
    "x".repeat(58),
    "x".repeat(59),
    "X".repeat(63),
    `${"я".repeat(31)}x`,
    `${"🔔".repeat(15)}abc`,
    `${'"'.repeat(63)}`,
  ],
];

describe.each(inject("servers"))("rules on $name", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    await query(`
      select bellwire.drop_rule(name) from bellwire.rules;
      create table public.secrets (id bigint);
      create schema hidden;
      create table hidden.things (id bigint);
      create sequence public.counter;
      create function public.count_up() returns bigint language sql as 'select nextval(''public.counter'')';
      create function public.touch(bigint, bigint) returns boolean language sql volatile as 'select $1 = $2';
      create operator public.<~> (leftarg = bigint, rightarg = bigint, function = public.touch);
      create table public.parted (id bigint generated always as identity, owner_id bigint, part int) partition by list (part);
      create table public.parted_1 partition of public.parted for values in (1);
      create table public.parted_2 partition of public.parted for values in (2);
      create foreign data wrapper nowhere;
      create server nowhere foreign data wrapper nowhere;
      create foreign table public.far_away (id bigint) server nowhere;
      create temp table passing (id bigint);
      create type public.level as enum ('low', 'High Up');
      create domain public.user_id as bigint;
      create function public.what_made() returns text stable language sql as 'select ''thing.made''';
      create view public.things_seen as select id from public.secrets;
    `);
    return () => database.close();
  });

  beforeEach(() =>
    // A test that changes the table's columns drops it, and the next test gets a new one.
    query(`
      create table if not exists public.things (id bigint generated always as identity primary key, owner_id bigint, note text, status text);
      delete from public.things;
      select setval('public.things_id_seq', 1, false);
    `),
  );

  afterEach(async () => {
    // Ends the transactions that a test left open, also after a failure.
    await query(`
      select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid();
      select bellwire.drop_rule(name) from bellwire.rules;
      -- For a few rows, 20 ms less than truncate.
      delete from bellwire.notifications;
      delete from bellwire.rule_error_log;
    `);
  });

  /** Defines a rule "told" that tells the owner of each new row of public.things, with the given changes. */
  const define = (rule: Given = {}, by: Queryable = { query }) =>
    by.query("select bellwire.define_rule($1, $2, $3, $4, $5)", argumentsOf(rule));

  const drop = (name: string) => query("select bellwire.drop_rule($1)", [name]);

  const fire = (ownerId: number | null = 7, by: Queryable = { query }) =>
    by.query("insert into public.things (owner_id) values ($1)", [ownerId]);

  const listTold = () => query("select recipient_id, type from bellwire.notifications order by id");

  /** The row versions of all catalog entries that make up the rules. */
  const listVersions = () =>
    query(`select d.name, d.xmin::text as definition, t.oid as trigger_id, t.xmin::text as trigger,
                  p.oid as function_id, p.xmin::text as function
             from bellwire.rule_definitions d
             join pg_trigger t on t.tgrelid = d.on_table and t.tgname = d.trigger_name
             join pg_proc p on p.oid = to_regprocedure(d.function)`);

  const countTraces = () =>
    query(`select (select count(*)::int from pg_trigger where tgname like 'rule%') as triggers,
                  (select count(*)::int from pg_proc
                    where pronamespace = 'bellwire'::regnamespace
                      and proname like 'rule%'
                      and prorettype = 'trigger'::regtype) as functions,
                  (select count(*)::int from bellwire.rules) as rules`);

  const dropThingsAfterwards = () =>
    onTestFinished(async () => {
      await query("drop table public.things");
    });

  /** Another transaction that has written to public.things, and blocks every change of the table. */
  async function holdTable() {
    const writer = await database.connect();
    await writer.query("begin; insert into public.things (note) values ('held')");
    return writer;
  }

  /** Runs the work as a new role, in a transaction that never commits. */
  async function createRole(rights: string) {
    const client = await database.connect();
    const role = `bellwire_test_${randomBytes(6).toString("hex")}`;
    await client.query(`begin; create role ${role}`);
    await client.query(rights.replaceAll("<role>", role));
    await client.query(`set role ${role}`);
    return { client, role };
  }

  describe("define_rule refuses", () => {
    test.each(REFUSED)("%s", async (_, differs, code, message, hint) => {
      const refused = await refusalOf(define(differs));
      expect(refused).toEqual({ code, message: `rule "told": ${message}`, hint });
      expect(await countTraces()).toEqual([NOTHING]);
      expect(await query("select from public.things")).toEqual([]);
    });

    test("a table with row-level security policies, and names the ways out", async () => {
      const byId = `${TELL_OWNER} join public.guarded g on g.id = r.owner_id`;
      await query(`
        create table public.guarded (id bigint);
        insert into public.guarded values (7);
        create view public.unguarded as select * from public.guarded;
        grant select on public.guarded, public.unguarded to bellwire_rules`);
      onTestFinished(async () => {
        await query("drop table public.guarded cascade");
      });
      await define({ name: "early", query: byId });
      await query("alter table public.guarded enable row level security");
      expect(await refusalOf(define({ query: byId }))).toEqual({
        code: "42501",
        message:
          'rule "told": query would be affected by row-level security policy for table "guarded"',
        hint: expect.stringMatching(
          /a view that belongs to the table's owner.*alter role bellwire_rules bypassrls/,
        ),
      });
      // A policy that is added later makes the rule fail, and the error is recorded.
      await fire();
      expect(await query("select rule, sqlstate, silenced from bellwire.rule_errors")).toEqual([
        { rule: "early", sqlstate: "42501", silenced: "1" },
      ]);
      await define({ query: byId.replace("guarded", "unguarded") });
      await fire();
      expect(await listTold()).toEqual([{ recipient_id: "7", type: "thing.made" }]);
      const client = await database.connect();
      await client.query("begin; alter role bellwire_rules bypassrls");
      await define({ query: byId }, client);
      await fire(7, client);
      await fire(7, client);
      const { rows } = await client.query("select count(*)::int as n from bellwire.notifications");
      expect(rows).toEqual([{ n: 5 }]);
      await client.query("rollback");
    });

    test("a virtual generated column of its table, which has no value in new_rows; other tables' columns are allowed", async ({
      skip,
    }) => {
      const [version] = await query<{ major: number }>(
        "select current_setting('server_version_num')::integer / 10000 as major",
      );
      if ((version?.major ?? 0) < 18) skip("there are none before PostgreSQL 18");
      await query(`
        create table public.doubled (id bigint, owner_id bigint, twice bigint generated always as (owner_id * 2) virtual);
        insert into public.doubled values (7, 7);
        grant select on public.doubled to bellwire_rules`);
      onTestFinished(async () => {
        await query("drop table public.doubled cascade");
      });
      const refuse = async (text: string) =>
        refusalOf(define({ table: "public.doubled", event: "update", query: text }));
      for (const text of [
        "select n.twice as recipient_id, 'x' as type from new_rows n",
        "select n.id as recipient_id, 'x' as type from new_rows n where n.twice > 1",
        "select n.id as recipient_id, 'x' as type from old_rows o join new_rows n using (id, twice)",
      ]) {
        expect(await refuse(text)).toMatchObject({ code: "42703", hint: VIRTUAL });
      }
      for (const text of [
        "select n.id as recipient_id, 'x' as type, to_jsonb(n) as data from new_rows n",
        "select n.id as recipient_id, 'x' as type, to_jsonb(n.*) as data from new_rows n",
        "select n.id as recipient_id, 'x' as type from new_rows n where n is not null",
        "select n.id as recipient_id, n::text as type from old_rows n",
      ]) {
        expect(await refuse(text)).toEqual({
          code: "0A000",
          message: 'rule "told": the query uses whole rows, in which twice would be null',
          hint: `Name the columns. ${VIRTUAL}`,
        });
      }
      await define({
        table: "public.doubled",
        query: `select n.owner_id as recipient_id, 'x' as type, d.twice as title, to_jsonb(d) as data
                  from (select * from new_rows) n
                  join public.doubled d on d.id = 7`,
      });
      await query("insert into public.doubled values (1, 8)");
      expect(await query("select recipient_id, title, data from bellwire.notifications")).toEqual([
        { recipient_id: "8", title: "14", data: { id: 7, owner_id: 7, twice: 14 } },
      ]);
    });

    test.each(["name", "table", "event", "query", "onError"])("null for %s", async (argument) => {
      expect(await refusalOf(define({ [argument]: null }))).toMatchObject({
        message: expect.stringContaining("null"),
      });
    });

    test("a table that does not exist", async () => {
      expect(await refusalOf(define({ table: "12345678" }))).toMatchObject({ code: "42809" });
      expect(await refusalOf(define({ table: "public.gone" }))).toMatchObject({ code: "42P01" });
    });

    test.each(BAD_NAMES)("the name %j", async (name) => {
      expect(await refusalOf(define({ name }))).toMatchObject({
        code: "42602",
        message: expect.stringMatching(
          /^a rule's name is 1 to 63 bytes without control characters, not /,
        ),
      });
    });

    test("a caller who is not a member of bellwire_owner, and says what to grant", async () => {
      const { client, role } = await createRole(`
        grant usage on schema bellwire to <role>;
        grant execute on function bellwire.define_rule(text, regclass, text, text, text, text) to <role>`);
      expect(await refusalOf(define({}, client))).toEqual({
        code: "42501",
        message: 'rule "told": only a member of bellwire_owner may define rules',
        hint: expect.stringContaining(`grant bellwire_owner to ${role}`),
      });
    });

    test("a member of bellwire_owner who may not create triggers on the table", async () => {
      const { client } = await createRole("grant bellwire_owner to <role>");
      expect(await refusalOf(define({}, client))).toMatchObject({
        code: "42501",
        message: "permission denied for table things",
      });
    });
  });

  describe("define_rule takes", () => {
    test.each([
      ["a comment at the end", `${TELL_OWNER} -- done`],
      ["comments of several lines", `/* who */ ${TELL_OWNER} /* done\n*/`],
      ["dollar quotes", "select owner_id as recipient_id, $q$thing.made$q$ as type from new_rows"],
      ["dollar quotes within quotes", `${TELL_OWNER} where '$handler$ $define$ $body$ $$' <> ''`],
      ["a semicolon within quotes", `${TELL_OWNER} where ';' <> ''`],
      ["percent signs, backslashes", `${TELL_OWNER} where '%s %1$s \\' <> '' and 7 % 2 = 1`],
      ["a CTE", `with made as (${TELL_OWNER}) select * from made`],
      ["UNION", `${TELL_OWNER} union all select null, 'to nobody'`],
      ["parentheses around it", `(${TELL_OWNER})`],
      ["a trigger's variables as aliases", TELL_OWNER.replaceAll(/\br\b/g, "new")],
      [
        "volatile functions that write nothing: the clock and random ids",
        `${TELL_OWNER} where clock_timestamp() > now() and random() < 1 and gen_random_uuid() is not null`,
      ],
      ["a stable function", TELL_OWNER.replace("'thing.made'", "public.what_made()")],
    ])("%s", async (_, text) => {
      await define({ query: text });
      await fire();
      expect(await listTold()).toEqual([{ recipient_id: "7", type: "thing.made" }]);
      expect(await query("select query, errors from bellwire.rules")).toEqual([
        { query: text, errors: "0" },
      ]);
    });

    test("all columns, in any order", async () => {
      await define({
        query: `select 'k' as dedupe_key, json_build_object('thingId', r.id) as data, '/t' as link, 'b' as body,
                       't' as title, 8 as actor_id, 'thing.made' as type, r.owner_id as recipient_id
                  from new_rows r`,
      });
      await fire();
      const columns = "recipient_id, type, actor_id, title, body, link, data, dedupe_key";
      expect(await query(`select ${columns} from bellwire.notifications`)).toEqual([
        {
          recipient_id: "7",
          type: "thing.made",
          actor_id: "8",
          title: "t",
          body: "b",
          link: "/t",
          data: { thingId: 1 },
          dedupe_key: "k",
        },
      ]);
    });

    test("a rule by a table's owner; the table's writers need no right on bellwire", async () => {
      const { client, role } = await createRole(`
        grant bellwire_owner to <role>;
        grant create on schema public to <role>`);
      await client.query("create table public.own (id bigint, owner_id bigint)");
      await define({ table: "public.own" }, client);
      await client.query(`reset role; revoke bellwire_owner from ${role}; set role ${role}`);
      await client.query("insert into public.own values (1, 7)");
      await client.query("reset role");
      const { rows } = await client.query("select recipient_id from bellwire.notifications");
      expect(rows).toEqual([{ recipient_id: "7" }]);
    });

    test("the caller's search_path for the table's name, but not for the query", async () => {
      const client = await database.connect();
      await client.query("set search_path = public");
      await define({ table: "things" }, client);
      expect(
        await refusalOf(define({ query: `${TELL_OWNER} join things t on true` }, client)),
      ).toMatchObject({ code: "42P01" });
    });
  });

  describe("names and ids", () => {
    test.each(NAMES)("rule, schema, table, column and type may be called %j", async (name) => {
      const identifier = pg.escapeIdentifier(name);
      const table = `${identifier}.${identifier}`;
      const insert = `insert into ${table} (${identifier}) values (7)`;
      const tell = (type: string) =>
        `select r.${identifier} as recipient_id, ${pg.escapeLiteral(type)} as type from new_rows r`;
      onTestFinished(async () => {
        await query(`drop schema ${identifier} cascade`);
      });
      await query(`create schema ${identifier}; grant usage on schema ${identifier} to bellwire_rules;
                   create table ${table} (${identifier} bigint)`);

      await define({ name, table, query: tell(name) });
      await query(insert);
      await define({ name, table, query: tell("again") });
      await query(insert);
      const told = [
        { recipient_id: "7", type: name },
        { recipient_id: "7", type: "again" },
      ];
      expect(await listTold()).toEqual(told);
      expect(
        await query(
          `select name, "table"::regclass = $1::regclass as found, enabled, errors from bellwire.rules`,
          [table],
        ),
      ).toEqual([{ name, found: true, enabled: true, errors: "0" }]);

      await drop(name);
      await query(insert);
      expect(await listTold()).toEqual(told);
      expect(await countTraces()).toEqual([NOTHING]);
    });

    test("there are many names above, and some have the maximum length", () => {
      expect(new Set(NAMES).size).toBeGreaterThanOrEqual(50);
      expect(Math.max(...NAMES.map((name) => Buffer.byteLength(name)))).toBe(63);
    });

    test("two long names with the same beginning are two rules", async () => {
      const [one, two] = [`${"x".repeat(62)}1`, `${"x".repeat(62)}2`];
      for (const name of [one, two]) await define({ name });
      await fire();
      expect(await listTold()).toHaveLength(2);
      await drop(one);
      await fire();
      expect(await listTold()).toHaveLength(3);
    });

    test.each([
      ["bigint", "bigint", "9007199254740993"],
      ["uuid", "uuid", "0190b5a0-7c1e-7000-8000-000000000001"],
      ["text, a cuid", "text", "clh3z1k0q0000qz8v1a2b3c4d"],
      ["varchar", "varchar(30)", "Ünïcode 🔔"],
      ["an enum", "public.level", "High Up"],
      ["a domain", "public.user_id", "12"],
    ])("recipients and actors may be %s, and types an enum", async (_, type, id) => {
      await query(`create table public.ids (told ${type}, actor ${type}, level public.level)`);
      onTestFinished(async () => {
        await query("drop table public.ids cascade");
      });
      await define({
        table: "public.ids",
        query: "select told as recipient_id, actor as actor_id, level as type from new_rows",
      });
      await query("insert into public.ids values ($1, null, 'High Up'), ($1, $1, 'low')", [id]);
      expect(await listTold()).toEqual([{ recipient_id: id, type: "High Up" }]);
    });

    test("tables made by Prisma can have rules", async () => {
      await query(`
        create table public."Task" (
          "id" text not null primary key,
          "customerId" uuid not null,
          "title" text not null,
          "level" public.level not null default 'low',
          "createdAt" timestamp(3) not null default current_timestamp,
          "updatedAt" timestamp(3) not null
        )`);
      onTestFinished(async () => {
        await query(`drop table public."Task" cascade`);
      });
      await define({
        table: 'public."Task"',
        event: "update",
        query: `select t."customerId" as recipient_id, 'task.' || t."level" as type, t."title" as title,
                       jsonb_build_object('taskId', t."id", 'at', t."updatedAt") as data
                  from new_rows t
                  join old_rows o using ("id")
                 where t."level" <> o."level"`,
      });
      const customer = "0190b5a0-7c1e-7000-8000-000000000001";
      await query(`insert into public."Task" ("id", "customerId", "title", "updatedAt")
                   values ('clh3z', '${customer}', 'Logo', '2025-01-02 03:04:05.678')`);
      await query(`update public."Task" set "title" = 'A logo'`);
      await query(`update public."Task" set "level" = 'High Up'`);
      expect(
        await query("select recipient_id, type, title, data from bellwire.notifications"),
      ).toEqual([
        {
          recipient_id: customer,
          type: "task.High Up",
          title: "A logo",
          data: { taskId: "clh3z", at: "2025-01-02T03:04:05.678" },
        },
      ]);
    });

    test("a rule on a partitioned table sees the rows of all partitions, including a row that moves", async () => {
      await define({ table: "public.parted" });
      await define({
        name: "moved",
        table: "public.parted",
        event: "update",
        query: `select n.owner_id as recipient_id, 'from.' || o.part || '.to.' || n.part as type
                  from new_rows n
                  join old_rows o on o.id = n.id`,
      });
      await query("insert into public.parted (owner_id, part) values (7, 1), (8, 2)");
      await query("update public.parted set part = 2 where part = 1");
      expect(await listTold()).toEqual([
        { recipient_id: "7", type: "thing.made" },
        { recipient_id: "8", type: "thing.made" },
        { recipient_id: "7", type: "from.1.to.2" },
      ]);
    });
  });

  describe("redefining", () => {
    test("an unchanged definition changes nothing and takes only a reader's lock", async () => {
      await define();
      const before = await listVersions();
      expect(before).toHaveLength(1);
      const writer = await holdTable();
      const { client, locks } = await defineWithoutWaiting({});
      await client.query("commit");
      expect(locks).toEqual([]);
      expect(await listVersions()).toEqual(before);
      await writer.query("commit");
    });

    test("another query takes only a reader's lock on the table, and writers use it from their next statement", async () => {
      await define();
      const writer = await holdTable();
      const { client, locks } = await defineWithoutWaiting({
        query: TELL_OWNER.replace("made", "found"),
      });
      expect(locks).toEqual([]);
      await fire(8, writer);
      await client.query("commit");
      await fire(9, writer);
      await writer.query("commit");
      expect(await listTold()).toEqual([
        { recipient_id: "8", type: "thing.made" },
        { recipient_id: "9", type: "thing.found" },
      ]);
    });

    test("another on_error takes only a reader's lock", async () => {
      await define();
      const writer = await holdTable();
      const { client, locks } = await defineWithoutWaiting({ onError: "raise" });
      await client.query("commit");
      expect(locks).toEqual([]);
      expect(await query("select on_error from bellwire.rules")).toEqual([{ on_error: "raise" }]);
      await writer.query("commit");
    });

    test("another event waits for the table's writers, which shows that the tests above can fail", async () => {
      await define();
      const writer = await holdTable();
      await expect(defineWithoutWaiting({ event: "update" })).rejects.toThrow("lock timeout");
      await writer.query("rollback");
    });

    test("another event moves the rule", async () => {
      await define();
      await define({ event: "update" });
      await fire();
      expect(await listTold()).toEqual([]);
      await query("update public.things set note = 'x'");
      expect(await listTold()).toHaveLength(1);
      expect(await countTraces()).toEqual([{ triggers: 1, functions: 1, rules: 1 }]);
    });

    test("another table moves the rule", async () => {
      await define();
      await define({ table: "public.parted" });
      await fire();
      expect(await listTold()).toEqual([]);
      await query("insert into public.parted (owner_id, part) values (7, 1)");
      expect(await listTold()).toHaveLength(1);
      expect(await query(`select "table" from bellwire.rules`)).toEqual([{ table: "parted" }]);
      expect(
        await query("select from pg_trigger where tgrelid = 'public.things'::regclass"),
      ).toEqual([]);
    });

    test("a refused definition leaves the old one in place", async () => {
      await define();
      const before = await listVersions();
      await refusalOf(define({ table: "public.parted", query: "select 1" }));
      expect(await listVersions()).toEqual(before);
    });

    test.each([
      ["its trigger is dropped", "drop trigger rule_told on public.things"],
      ["its function is dropped", "drop function bellwire.rule_told() cascade"],
      [
        "its function is edited",
        `create or replace function bellwire.rule_told() returns trigger language plpgsql
           as 'begin return null; end'`,
      ],
      [
        "its table is dropped and created again",
        "drop table public.things cascade; create table public.things (owner_id bigint)",
      ],
    ])("the same definition mends a rule when %s", async (_, damage) => {
      dropThingsAfterwards();
      await define();
      await query(damage);
      await fire();
      expect(await listTold()).toEqual([]);
      await define();
      await fire();
      expect(await listTold()).toHaveLength(1);
      expect(await query("select enabled from bellwire.rules")).toEqual([{ enabled: true }]);
    });

    test("a disabled trigger stays disabled, with a warning that says how to enable it", async () => {
      await define();
      await query("alter table public.things disable trigger rule_told");
      const client = await database.connect();
      const warned: (string | undefined)[] = [];
      client.on("notice", ({ message, hint }) => warned.push(message, hint));
      await define({}, client);
      expect(warned).toEqual([
        'rule "told" is disabled and stays disabled',
        "To enable it: alter table public.things enable trigger rule_told;",
      ]);
      await fire();
      expect(await listTold()).toEqual([]);
      await query("alter table public.things enable trigger rule_told");
      await fire();
      expect(await listTold()).toHaveLength(1);
    });

    test("when two sessions define the same rule at once, the second finds nothing to do", async () => {
      const [one, two] = [await database.connect(), await database.connect()];
      await one.query("begin");
      await define({}, one);
      const waiting = define({}, two);
      await expect
        .poll(() =>
          query(`select from pg_stat_activity
                  where datname = current_database() and wait_event = 'relation'`),
        )
        .toHaveLength(1);
      await one.query("commit");
      const before = await listVersions();
      await waiting;
      expect(await listVersions()).toEqual(before);
    });

    test("a session that changes rules while another does fails after a short wait, and names the other", async () => {
      const one = await database.connect();
      await one.query("begin");
      await define({}, one);
      const {
        rows: [session],
      } = await one.query("select pg_backend_pid() as pid, session_user as login");
      const two = await database.connect();
      const refused = await Promise.all([
        refusalOf(define()),
        refusalOf(two.query("select bellwire.drop_rule('told')")),
      ]);
      const refusal = {
        code: "55P03",
        message: `rule "told": another transaction is changing rules: pid ${session.pid} (${session.login})`,
        hint: "Try again when it has ended. To end it: select pg_terminate_backend(pid);",
      };
      expect(refused).toEqual([refusal, refusal]);
      expect(await query("select name from bellwire.rules")).toEqual([]);
      await one.query("commit");
      await define();
    });

    test("a role without the right to write rules cannot block a session that changes them", async () => {
      const stranger = await database.connect();
      await stranger.query("set role bellwire_service");
      await stranger.query("begin; select * from bellwire.rules");
      await stranger.query("select pg_advisory_lock(hashtext('bellwire.define_rule'))");
      const client = await database.connect();
      await client.query("set lock_timeout = 100");
      await define({}, client);
      await stranger.query("rollback");
    });

    /** Defines a rule in a transaction that stays open and may not wait. Returns its locks on the table, without a reader's. */
    async function defineWithoutWaiting(rule: Given) {
      const client = await database.connect();
      await client.query("begin; set local lock_timeout = 100");
      await define(rule, client);
      const { rows: locks } = await client.query(
        `select mode from pg_locks
          where relation = 'public.things'::regclass
            and pid = pg_backend_pid()
            and mode <> 'AccessShareLock'`,
      );
      return { client, locks };
    }
  });

  test("a rule and notify() drop the same notifications", async () => {
    await query(`
      create table public.tries (recipient text, actor text, type text);
      insert into bellwire.preferences values ('1', '{x,y}'), ('2', '{}'), ('3', array['y', null])`);
    onTestFinished(async () => {
      await query("drop table public.tries cascade; truncate bellwire.preferences");
    });
    await define({
      table: "public.tries",
      query: "select recipient as recipient_id, actor as actor_id, type from new_rows",
    });
    await define({
      name: "without an actor",
      table: "public.tries",
      query: "select recipient as recipient_id, 'no.' || type as type from new_rows",
    });
    await query(`
      insert into public.tries
      select recipient, actor, type
        from unnest(array['1', '2', '3', '4', null]) recipient,
             unnest(array['1', '2', null]) actor,
             unnest(array['x', 'y', 'z']) type`);
    const told = await query<{ type: string }>(
      "select recipient_id, actor_id, type from bellwire.notifications order by 1, 2, 3",
    );
    await query("truncate bellwire.notifications");
    await query(`
      select bellwire.notify(recipient, type, actor),
             bellwire.notify(recipient, 'no.' || type)
        from public.tries`);
    expect(
      await query(
        "select recipient_id, actor_id, type from bellwire.notifications order by 1, 2, 3",
      ),
    ).toEqual(told);
    expect(told.filter(({ type }) => !type.startsWith("no."))).toHaveLength(23);
  });

  describe("in a session with cached plans,", () => {
    test("the time for a statement grows linearly with its rows", async () => {
      await define({
        event: "update",
        query: `select n.owner_id as recipient_id, 'thing.changed' as type
                  from new_rows n
                  join old_rows o on o.id = n.id
                 where n.note is distinct from o.note`,
      });
      await query("insert into public.things (owner_id) select generate_series(1, 30000)");
      const client = await database.connect();
      await client.query("update public.things set note = 'one' where id = 1");
      await client.query("set statement_timeout = '10s'"); // quadratic, it takes a minute
      await client.query("update public.things set note = 'all'");
      expect(await query("select count(*)::int from bellwire.notifications")).toEqual([
        { count: 30_001 },
      ]);
      await query("truncate public.things, bellwire.notifications");
    });

    test.each([
      ["that was told", 1, []],
      ["whose rule failed", 0, [{ sqlstate: "22012" }]],
    ])("one row scans no whole table after a bulk insert %s", async (_, last, errors) => {
      await query(`
        create table public.owners (id bigint primary key, name text);
        insert into public.owners select n, 'Somebody' from generate_series(0, 1000) n;
        grant select on public.owners to bellwire_rules`);
      await query("analyze public.owners");
      onTestFinished(async () => {
        await query("drop table public.owners cascade");
      });
      await define({
        query: `select o.id as recipient_id, 'thing.' || 1 / o.id as type, o.name as title
                  from new_rows r
                  join public.owners o on o.id = r.owner_id`,
      });
      const client = await database.connect();
      await client.query(
        `insert into public.things (owner_id) select 1 + n % 1000 from generate_series(1, 10000) n union all select ${last}`,
      );
      expect(await query("select sqlstate from bellwire.rule_errors")).toEqual(errors);
      const countRead = async () => {
        const { rows } = await client.query<{ read: number }>(
          `select (seq_tup_read + idx_tup_fetch)::int as read
             from pg_stat_xact_user_tables
            where relid = 'public.owners'::regclass`,
        );
        return rows[0]?.read ?? Number.NaN;
      };
      await client.query("begin");
      const before = await countRead();
      await fire(7, client);
      expect((await countRead()) - before).toBe(1);
      await client.query("commit");
      await query("truncate public.things, bellwire.notifications");
    });
  });

  describe("of an older release", () => {
    const BODY = "begin return null; end";
    const upgrade = (by: Queryable = { query }) => by.query(RENEW_RULES);
    const bodyOf = async (name: string) =>
      (
        await query<{ body: string }>("select prosrc as body from pg_proc where proname = $1", [
          `rule_${name}`,
        ])
      )[0]?.body;

    /** Gives the rule a function body as that release would have written it. */
    async function defineOld(rule: Given = {}) {
      await define(rule);
      await query(`
        create or replace function bellwire.rule_${rule.name ?? "told"}() returns trigger language plpgsql
          security definer set search_path = pg_catalog, pg_temp as '${BODY}';
        update bellwire.rule_definitions set checksum = md5('${BODY}') where name = '${rule.name ?? "told"}'`);
    }

    test("has the new body after migrate, with the rights and the checksum that define_rule sets", async () => {
      const read = () =>
        query(`select to_jsonb(d) as definition, pg_get_functiondef(p.oid), p.proacl::text, p.proowner::regrole::text,
                      obj_description(p.oid, 'pg_proc'), md5(p.prosrc) = d.checksum as is_ours
                 from bellwire.rule_definitions d
                 join pg_proc p on p.oid = to_regprocedure(d.function)`);
      await define();
      const before = await read();
      expect(before).toMatchObject([{ is_ours: true }]);
      await defineOld();
      await fire();
      expect(await listTold()).toEqual([]);
      await upgrade();
      expect(await read()).toEqual(before);
      await fire();
      expect(await listTold()).toHaveLength(1);
    });

    test("is renewed without a lock on its table, and a rule that is new already stays as it is", async () => {
      await define({ name: "fresh" });
      const before = await listVersions();
      await defineOld();
      const writer = await holdTable();
      const client = await database.connect();
      await client.query("set lock_timeout = 100");
      await upgrade(client);
      await writer.query("commit");
      expect(await bodyOf("told")).not.toBe(BODY);
      expect((await listVersions()).filter(({ name }) => name === "fresh")).toEqual(before);
    });

    test("stays disabled", async () => {
      await defineOld();
      await query("alter table public.things disable trigger rule_told");
      await upgrade();
      expect(await bodyOf("told")).not.toBe(BODY);
      expect(await query("select enabled from bellwire.rules")).toEqual([{ enabled: false }]);
    });

    test("keeps its body, with a warning, when define_rule would refuse it now; the others are renewed", async () => {
      dropThingsAfterwards();
      await defineOld({
        name: "broken",
        query: "select r.owner_id as recipient_id, r.note as type from new_rows r",
      });
      await defineOld();
      await query("alter table public.things rename column note to remark");
      const client = await database.connect();
      const warnings: (string | undefined)[] = [];
      client.on("notice", ({ message }) => warnings.push(message));
      await upgrade(client);
      expect(warnings).toEqual([
        'bellwire: rule "broken" keeps the body that an older release gave it: rule "broken": column r.note does not exist',
      ]);
      expect(await bodyOf("broken")).toBe(BODY);
      expect(await bodyOf("told")).not.toBe(BODY);
    });

    test("runs as bellwire_rules again when its function was given to another role", async () => {
      await define();
      await query("alter function bellwire.rule_told() owner to bellwire_owner");
      await upgrade();
      expect(
        await query("select proowner::regrole::text from pg_proc where proname = 'rule_told'"),
      ).toEqual([{ proowner: "bellwire_rules" }]);
    });

    test("does not fail migrate when its table is gone", async () => {
      await defineOld();
      await query("drop table public.things cascade");
      await upgrade();
      expect(await bodyOf("told")).toBe(BODY);
    });
  });

  describe("drop_rule", () => {
    test("removes trigger, function and definition, and keeps the notifications", async () => {
      await define();
      await fire();
      await drop("told");
      await fire();
      expect(await listTold()).toHaveLength(1);
      expect(await countTraces()).toEqual([NOTHING]);
    });

    test("works when the table is gone; until then the view shows the rule as not enabled", async () => {
      await define();
      await query("drop table public.things cascade");
      expect(await query("select name, enabled from bellwire.rules")).toEqual([
        { name: "told", enabled: false },
      ]);
      await drop("told");
      expect(await countTraces()).toEqual([NOTHING]);
    });

    test("lists the known names when it does not know one", async () => {
      expect(await refusalOf(drop("x"))).toEqual({
        code: "42704",
        message: 'there is no rule "x"',
        hint: "There are no rules.",
      });
      for (const name of ["told", "also told"]) await define({ name });
      expect(await refusalOf(drop("tolld"))).toEqual({
        code: "42704",
        message: 'there is no rule "tolld"',
        hint: "The rules are: also told, told.",
      });
    });
  });

  describe("the views", () => {
    test("rules shows each rule's state; rule_errors shows each error and how often it happened", async () => {
      await define({ query: "select 1 / r.owner_id as recipient_id, 'x' as type from new_rows r" });
      for (const divisor of [0, 0, 1]) await fire(divisor);
      expect(
        await query(`select name, "table", event, on_error, enabled, errors, last_error,
                            last_error_at between now() - interval '1 minute' and clock_timestamp() as recent
                       from bellwire.rules`),
      ).toEqual([
        {
          name: "told",
          table: "things",
          event: "insert",
          on_error: "record",
          enabled: true,
          errors: "2",
          last_error: "22012 division by zero",
          recent: true,
        },
      ]);
      expect(
        await query(`select rule, sqlstate, message, errors, first_at < last_at as repeated
                       from bellwire.rule_errors`),
      ).toEqual([
        {
          rule: "told",
          sqlstate: "22012",
          message: "division by zero",
          errors: "2",
          repeated: true,
        },
      ]);
    });

    test("bellwire_service reads both, and can neither define nor drop a rule", async () => {
      await define();
      const client = await database.connect();
      await client.query("set role bellwire_service");
      expect((await client.query("select name from bellwire.rules")).rows).toHaveLength(1);
      expect((await client.query("select * from bellwire.rule_errors")).rows).toEqual([]);
      for (const attempt of ["define_rule('x', null, 'x', 'x')", "drop_rule('told')"]) {
        expect(await refusalOf(client.query(`select bellwire.${attempt}`))).toMatchObject({
          code: "42501",
        });
      }
    });
  });
});

const NOTHING = { triggers: 0, functions: 0, rules: 0 };

type Given = { [argument in keyof Rule]?: string | null };

type Queryable = { query(sql: string, params?: unknown[]): Promise<unknown> };

function argumentsOf(rule: Given) {
  const { name, table, event, query, onError } = {
    name: "told",
    table: "public.things",
    event: "insert",
    query: TELL_OWNER,
    onError: "record",
    ...rule,
  };
  return [name, table, event, query, onError];
}

async function refusalOf(attempt: Promise<unknown>) {
  const err = await attempt.then(
    () => new Error("Nothing was refused"),
    (err: unknown) => err,
  );
  if (!(err instanceof pg.DatabaseError)) throw err;
  const { code, message, hint } = err;
  return { code, message, hint };
}
