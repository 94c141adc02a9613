import { randomBytes } from "node:crypto";
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
import { createDatabase, type TestDatabase } from "../support/database.ts";

const TELL =
  "select w.recipient as recipient_id, 'work.done' as type, w.note as body from new_rows w";
const DIVIDE = "select 1 / (w.id - w.id) as recipient_id, 'x' as type from new_rows w";

/** Ways to break an installed rule: its query, the damage, and the SQLSTATE and message that are recorded. */
const BROKEN: [title: string, query: string, damage: string, sqlstate: string, message: string][] =
  [
    [
      "a column of its table is dropped",
      TELL,
      "alter table public.work drop column note",
      "42703",
      "column w.note does not exist",
    ],
    [
      "a column of its table is renamed",
      TELL,
      `alter table public.work rename column recipient to "recipientId"`,
      "42703",
      "column w.recipient does not exist",
    ],
    [
      "a joined table is dropped",
      `${TELL} join public.other o on true`,
      "drop table public.other",
      "42P01",
      'relation "public.other" does not exist',
    ],
    [
      "the right to read a joined table is revoked",
      `${TELL} join public.other o on true`,
      "revoke all on public.other from bellwire_rules",
      "42501",
      "permission denied for table other",
    ],
    [
      "a function it calls raises",
      "select public.who() as recipient_id, 'x' as type from new_rows",
      "create or replace function public.who() returns text stable language plpgsql as $$ begin raise exception 'nobody knows: %', 'who' using errcode = 'BW001'; end $$",
      "BW001",
      "nobody knows: who",
    ],
    [
      "a function it calls is dropped",
      "select public.who() as recipient_id, 'x' as type from new_rows",
      "drop function public.who()",
      "42883",
      "function public.who() does not exist",
    ],
    [
      "a function it calls has a failing ASSERT",
      "select public.who() as recipient_id, 'x' as type from new_rows",
      "create or replace function public.who() returns text stable language plpgsql as $$ begin assert false, 'not so'; end $$",
      "P0004",
      "not so",
    ],
    [
      "a function it calls recurses without end",
      "select public.who() as recipient_id, 'x' as type from new_rows",
      "create or replace function public.who() returns text stable language plpgsql as $$ begin return public.who(); end $$",
      "54001",
      "stack depth limit exceeded",
    ],
    ["it divides by zero", DIVIDE, "", "22012", "division by zero"],
    [
      "it returns a null type",
      "select 7 as recipient_id, nullif('x', 'x') as type from new_rows w",
      "",
      "23502",
      'null value in column "type" of relation "notifications" violates not-null constraint',
    ],
    [
      "its dedupe_key does not fit into an index",
      "select 7 as recipient_id, 'x' as type, public.noise() as dedupe_key from new_rows w",
      "",
      "54000",
      "",
    ],
    [
      "its recipient does not fit into an index",
      "select public.noise() as recipient_id, 'x' as type from new_rows w",
      "",
      "54000",
      "",
    ],
    [
      "its data holds text that jsonb cannot",
      String.raw`select w.recipient as recipient_id, 'x' as type, '{"a": "\u0000"}'::json as data from new_rows w`,
      "",
      "22P05",
      "unsupported Unicode escape sequence",
    ],
    [
      "its message is very long",
      "select public.who() as recipient_id, 'x' as type from new_rows",
      "create or replace function public.who() returns text stable language plpgsql as $$ begin raise exception '%', repeat('x', 1000000); end $$",
      "P0001",
      "x".repeat(500),
    ],
    [
      "the table notifications is missing",
      TELL,
      "alter table bellwire.notifications rename to gone",
      "42P01",
      "",
    ],
  ];

/** Texts that must arrive unchanged. */
const TEXTS: [title: string, text: string][] = [
  ["one megabyte", "x".repeat(1_000_000)],
  ["one megabyte that does not compress", randomBytes(500_000).toString("hex")],
  ["quotes", `it's "quoted" \`so\` $$and$$ \\so\\ %s`],
  ["line ends", "one\ntwo\r\nthree\rfour\u2028five"],
  ["characters of four bytes", "🔔👩‍💻𝔘𠜎".repeat(1000)],
  ["control characters", "\u0001\u001b[31m\u007f\u0085\ufeff\u200e"],
  ["nothing", ""],
];

describe.each(inject("servers"))("the application's write, on $name,", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    await query(`
      select bellwire.drop_rule(name) from bellwire.rules;
      create table public.more (id bigint generated always as identity, recipient bigint);
      create function public.noise() returns text stable language sql
        as 'select string_agg(md5(n::text), '''') from generate_series(1, 500) n';
    `);
    return () => database.close();
  });

  beforeEach(() =>
    // A test that changes the table's columns drops it, and the next test gets a new one.
    query(`
      create table if not exists public.work (id bigint generated always as identity primary key, recipient bigint default 7, note text);
      delete from public.work;
      select setval('public.work_id_seq', 1, false);
    `),
  );

  afterEach(async () => {
    // Ends the transactions that a failed test left open.
    await query(`
      select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid();
      alter table if exists bellwire.gone rename to notifications;
      drop function if exists public.who();
      select bellwire.drop_rule(name) from bellwire.rules;
      -- For a few rows, 20 ms less than truncate.
      delete from bellwire.notifications;
      delete from bellwire.preferences;
      delete from bellwire.rule_error_log;
    `);
  });

  const define = (
    text: string,
    options: { name?: string; table?: string; event?: string; onError?: string } = {},
  ) =>
    query("select bellwire.define_rule($1, $2, $3, $4, $5)", [
      options.name ?? "told",
      options.table ?? "public.work",
      options.event ?? "insert",
      text,
      options.onError ?? "record",
    ]);

  const insert = (by: Queryable = { query }, table = "work") =>
    by.query(`insert into public.${table} (recipient) values (7)`);

  const countWork = async () =>
    (await query<{ n: number }>("select count(*)::int as n from public.work"))[0]?.n;

  const listErrors = () =>
    query("select rule, sqlstate, errors::int from bellwire.rule_errors order by rule, sqlstate");

  describe("succeeds, and the error is recorded, when", () => {
    test.each(BROKEN)("%s", async (_, text, damage, sqlstate, message) => {
      await query(`
        create table public.other (id bigint);
        insert into public.other values (1);
        grant select on public.other to bellwire_rules;
        create function public.who() returns text stable language sql as 'select ''1''';
      `);
      onTestFinished(async () => {
        await query("drop table if exists public.work, public.other");
      });
      await define(text);
      await query(damage);
      for (let n = 0; n < 2; n++) await query("insert into public.work default values");
      expect(await countWork()).toBe(2);
      const errors = await query(
        "select rule, sqlstate, message, errors::int from bellwire.rule_errors",
      );
      expect(errors).toEqual([
        { rule: "told", sqlstate, message: message || expect.any(String), errors: 2 },
      ]);
      expect(await query("select name, errors::int, last_error from bellwire.rules")).toEqual([
        { name: "told", errors: 2, last_error: expect.stringContaining(`${sqlstate} ${message}`) },
      ]);
    });

    test("the table of errors is missing: a warning has the error", async () => {
      await define(DIVIDE);
      const client = await database.connect();
      const warnings: string[] = [];
      client.on("notice", ({ message }) => warnings.push(message ?? ""));
      await client.query("begin; alter table bellwire.rule_error_log rename to lost");
      await insert(client);
      await client.query("alter table bellwire.lost rename to rule_error_log; commit");
      expect(await countWork()).toBe(1);
      expect(warnings).toEqual([
        'bellwire: rule "told" failed (22012 division by zero), and recording that failed too: relation "bellwire.rule_error_log" does not exist',
      ]);
    });

    test("one of two rules fails, and the other tells", async () => {
      await define(DIVIDE, { name: "a" });
      await define(TELL, { name: "b" });
      await define(DIVIDE, { name: "c" });
      await insert();
      expect(await query("select type from bellwire.notifications")).toEqual([
        { type: "work.done" },
      ]);
      expect(await listErrors()).toEqual([
        { rule: "a", sqlstate: "22012", errors: 1 },
        { rule: "c", sqlstate: "22012", errors: 1 },
      ]);
    });

    test("it is an update", async () => {
      await define(DIVIDE, { event: "update" });
      await insert();
      await query("update public.work set note = 'x'");
      expect(await query("select note from public.work")).toEqual([{ note: "x" }]);
      expect(await listErrors()).toHaveLength(1);
    });
  });

  test.each(TEXTS)("carries any text to the notification: %s", async (_, text) => {
    await define(
      "select w.recipient as recipient_id, 'x' as type, w.note as title, w.note as body, w.note as link, jsonb_build_object('note', w.note) as data from new_rows w",
    );
    await query("insert into public.work (recipient, note) values (7, $1)", [text]);
    const columns = ["note", "title", "body", "link", "data ->> 'note'"];
    const [row] = await query(
      `select ${columns.map((c, i) => `${c} = $1 as c${i}`)} from public.work, bellwire.notifications`,
      [text],
    );
    expect(row).toEqual({ c0: true, c1: true, c2: true, c3: true, c4: true });
    expect(await listErrors()).toEqual([]);
  });

  describe("of 1,000 rows, some of which cannot become notifications,", () => {
    /** Each makes the rows 100, 500 and 900 fail. A row's recipient is its number. */
    const BAD: [title: string, query: string, sqlstate: string][] = [
      [
        "have a null type",
        "select w.recipient as recipient_id, nullif('x', case when w.recipient % 400 = 100 then 'x' end) as type from new_rows w",
        "23502",
      ],
      [
        "have data that jsonb cannot hold",
        String.raw`select w.recipient as recipient_id, 'x' as type, case when w.recipient % 400 = 100 then '{"a":"\u0000"}' else '{"a":1}' end::json as data from new_rows w`,
        "22P05",
      ],
      [
        "have a recipient that fits into no index",
        "select w.recipient || case when w.recipient % 400 = 100 then public.noise() else '' end as recipient_id, 'x' as type from new_rows w",
        "54000",
      ],
      [
        "have a key that fits into no index",
        "select w.recipient as recipient_id, 'x' as type, case when w.recipient % 400 = 100 then public.noise() else 'k' end as dedupe_key from new_rows w",
        "54000",
      ],
    ];

    test.each(BAD)(
      "because they %s, tells the others and counts these",
      async (_, text, sqlstate) => {
        await define(text);
        await query("insert into public.work (recipient) select generate_series(1, 1000)");
        expect(
          await query(
            "select count(*)::int as told, count(*) filter (where recipient_id in ('100', '500', '900'))::int as bad from bellwire.notifications",
          ),
        ).toEqual([{ told: 997, bad: 0 }]);
        expect(
          await query(
            "select sqlstate, sum(silenced)::int as silenced from bellwire.rule_errors group by 1",
          ),
        ).toEqual([{ sqlstate, silenced: 3 }]);
      },
    );

    test("counts no error for a muted type, the actor itself or a null recipient", async () => {
      await define(
        "select nullif(w.recipient, 3) as recipient_id, case when w.recipient <> 4 then 'x' end as type, case w.recipient when 2 then 2 end as actor_id from new_rows w",
      );
      await query("insert into bellwire.preferences values ('1', '{x}')");
      await query("insert into public.work (recipient) select generate_series(1, 5)");
      expect(await query("select recipient_id from bellwire.notifications")).toEqual([
        { recipient_id: "5" },
      ]);
      expect(
        await query("select sqlstate, errors::int, silenced::int from bellwire.rule_errors"),
      ).toEqual([{ sqlstate: "23502", errors: 1, silenced: 1 }]);
    });

    test("takes seconds at most and records one error, when all of 10,000 rows fail", async () => {
      await define("select w.recipient as recipient_id, nullif('x', 'x') as type from new_rows w");
      await query("set statement_timeout = '10s'");
      await query("insert into public.work (recipient) select generate_series(1, 10000)");
      await query("reset statement_timeout");
      expect(await query("select errors::int, silenced::int from bellwire.rule_errors")).toEqual([
        { errors: 1, silenced: 10_000 },
      ]);
      await query("truncate public.work");
    });

    test("with on_error => 'raise' fails", async () => {
      await define(BAD[0]?.[1] ?? "", { onError: "raise" });
      await expect(
        query("insert into public.work (recipient) select generate_series(1, 1000)"),
      ).rejects.toMatchObject({ code: "23502" });
      expect(await countWork()).toBe(0);
    });

    test("wakes the listeners for the rows that are told", async () => {
      await define(BAD[0]?.[1] ?? "");
      const listener = await database.connect();
      const heard = new Promise((resolve) => listener.on("notification", resolve));
      await listener.query("listen bellwire");
      await query("insert into public.work (recipient) values (100), (101)");
      await heard;
    });
  });

  test("an error in the query is recorded with the number of rows that it silenced", async () => {
    await define(DIVIDE);
    await query("insert into public.work (recipient) select generate_series(1, 1000)");
    await insert();
    await define(DIVIDE, { name: "changed", event: "update" });
    await query("update public.work set note = 'x' where id <= 10");
    expect(
      await query("select rule, errors::int, silenced::int from bellwire.rule_errors order by 1"),
    ).toEqual([
      { rule: "changed", errors: 1, silenced: 10 },
      { rule: "told", errors: 2, silenced: 1001 },
    ]);
  });

  describe("records which rows failed:", () => {
    const keys = () => query("select keys from bellwire.rule_error_log order by id");

    test("their keys, of which it keeps the last 20; the view has the last one", async () => {
      await define(DIVIDE);
      await insert();
      expect(await keys()).toEqual([{ keys: ["1"] }]);
      await query("insert into public.work (recipient) select generate_series(1, 18)");
      for (let n = 0; n < 3; n++) await insert();
      const last20 = Array.from({ length: 20 }, (_, i) => String(i + 3));
      expect(await keys()).toEqual([{ keys: last20 }]);
      await query("insert into public.work (recipient) select generate_series(1, 1000)");
      expect(await keys()).toEqual([
        { keys: Array.from({ length: 20 }, (_, i) => String(i + 23)) },
      ]);
      expect(
        await query("select last_key, first_at < last_at as since from bellwire.rule_errors"),
      ).toEqual([{ last_key: "42", since: true }]);
    });

    test.each([
      ["delete", "notify", "delete from public.work"],
      ["update", "retract", "update public.work set note = 'x'"],
      ["update", "revoke", "update public.work set note = 'x'"],
    ])("on %s, for a rule that should %s", async (event, action, write) => {
      const columns = {
        notify: ", 'x' as type",
        retract: ", 'x' as type, '{}'::jsonb as data",
        revoke: "",
      }[action];
      await query("select bellwire.define_rule('told', 'public.work', $1, $2, action => $3)", [
        event,
        `select 7 as recipient_id${columns} from ${event === "delete" ? "old" : "new"}_rows w where 1 / (w.id - w.id) = 1`,
        action,
      ]);
      await insert();
      await query("select bellwire.notify('7', 'x')"); // a retraction runs its query only if there is something to retract
      await query(write);
      expect(await keys()).toEqual([{ keys: ["1"] }]);
    });

    test("of a result row that cannot be written, only where the statement wrote one row", async () => {
      await define("select w.recipient as recipient_id, nullif('x', 'x') as type from new_rows w");
      await insert();
      await query("insert into public.work (recipient) values (1), (2)");
      expect(await query("select keys, silenced::int from bellwire.rule_error_log")).toEqual([
        { keys: ["1"], silenced: 3 },
      ]);
    });

    test.each<[title: string, columns: string, key: string | null, change?: string]>([
      [
        "of two columns",
        "a int default 1, b text default 'x, y', primary key (b, a)",
        '("x, y",1)',
      ],
      [
        "of 100,000 characters, cut",
        "a text primary key default repeat('x', 100000)",
        "x".repeat(100),
      ],
      ["that was renamed", `a int primary key default 1`, "1", `rename a to "The Key"`],
      ["that is missing", "a int default 1", null],
      ["whose type has a failing output", "a public.sour primary key default 'a'", null],
    ])("a key %s", async (_, columns, key, change) => {
      await query(`
        create type public.sour as enum ('a');
        create function public.sour(public.sour) returns text stable language plpgsql as $$ begin raise exception 'sour'; end $$;
        create cast (public.sour as text) with function public.sour(public.sour);
        create table public.keyed (${columns})`);
      onTestFinished(async () => {
        await query("drop table public.keyed; drop type public.sour cascade");
      });
      await define(
        "select 1 / (count(*) - count(*)) as recipient_id, 'x' as type from new_rows w",
        {
          table: "public.keyed",
        },
      );
      if (change) await query(`alter table public.keyed ${change}`);
      await query("insert into public.keyed default values");
      expect(
        await query("select sqlstate, last_key, silenced::int from bellwire.rule_errors"),
      ).toEqual([{ sqlstate: "22012", last_key: key, silenced: 1 }]);
    });
  });

  test("succeeds when the rule meets a deadlock, which is recorded", async () => {
    await query(
      "create function public.who() returns text stable language plpgsql as $$ begin raise exception 'stuck' using errcode = '40P01'; end $$",
    );
    await define("select public.who() as recipient_id, 'x' as type from new_rows");
    await insert();
    expect(await listErrors()).toEqual([{ rule: "told", sqlstate: "40P01", errors: 1 }]);
  });

  test("tells nobody when the recipient is null, and records no error", async () => {
    await define(TELL);
    await query("insert into public.work (recipient) values (null), (7)");
    expect(await query("select recipient_id from bellwire.notifications")).toEqual([
      { recipient_id: "7" },
    ]);
    expect(await listErrors()).toEqual([]);
  });

  describe.each(["read committed", "repeatable read", "serializable"])("under %s", (level) => {
    /** Open transactions that have taken their snapshot and fail instead of waiting. */
    async function openWriters(count: number) {
      const writers = [];
      for (let i = 0; i < count; i++) {
        const writer = await database.connect();
        await writer.query(`begin isolation level ${level}; set local statement_timeout = '3s'`);
        await writer.query("select 1");
        writers.push(writer);
      }
      return writers;
    }

    test("eight writers whose rule fails never wait for one another, and every failure is counted", async () => {
      await define(DIVIDE);
      await insert();
      const writers = await openWriters(8);
      for (const writer of writers) await insert(writer);
      for (const writer of writers) await insert(writer);
      await insert();
      for (const writer of writers.toReversed()) {
        await insert(writer);
        await writer.query("commit");
      }
      await insert();
      expect(await countWork()).toBe(27);
      expect(await listErrors()).toEqual([{ rule: "told", sqlstate: "22012", errors: 27 }]);
    });

    test("writers whose rules fail at the same moment all commit, and every failure is counted", async () => {
      await define(DIVIDE);
      await Promise.all(
        (await openWriters(8)).map(async (writer) => {
          for (let i = 0; i < 10; i++) {
            await insert(writer);
            await writer.query(`commit; begin isolation level ${level}; select 1`);
          }
          await writer.query("commit");
        }),
      );
      expect(await countWork()).toBe(80);
      expect(await listErrors()).toEqual([{ rule: "told", sqlstate: "22012", errors: 80 }]);
    });

    test("rules that fail in two tables in opposite order do not deadlock", async () => {
      await define(DIVIDE);
      await define(DIVIDE, { name: "more", table: "public.more" });
      await insert();
      await insert({ query }, "more");
      const [one, two] = await openWriters(2);
      if (!one || !two) throw new Error("no writers");
      await insert(one, "work");
      await insert(two, "more");
      await Promise.all([insert(one, "more"), insert(two, "work")]);
      await one.query("commit");
      await two.query("commit");
      expect(await listErrors()).toEqual([
        { rule: "more", sqlstate: "22012", errors: 3 },
        { rule: "told", sqlstate: "22012", errors: 3 },
      ]);
    });
  });

  test("leaves at most one error row for each concurrent writer", async () => {
    await define(DIVIDE);
    for (let i = 0; i < 20; i++) await insert();
    expect(await query("select errors::int from bellwire.rule_error_log")).toEqual([
      { errors: 20 },
    ]);
  });

  test("leaves no error when it is rolled back", async () => {
    await define(DIVIDE);
    await query("begin");
    await insert();
    await query("rollback");
    expect(await listErrors()).toEqual([]);
  });

  describe("fails when", () => {
    test.each([
      [
        "the rule meets a serialization failure",
        "raise exception 'again' using errcode = '40001'",
        "40001",
      ],
      ["the write is cancelled while the rule runs", "perform pg_sleep(60)", "57014"],
    ])("%s: the application must see it", async (_, statement, code) => {
      await query(
        `create function public.who() returns text stable language plpgsql as $$ begin ${statement}; return '1'; end $$`,
      );
      await define("select public.who() as recipient_id, 'x' as type from new_rows");
      const client = await database.connect();
      await client.query("set statement_timeout = 200");
      await expect(insert(client)).rejects.toMatchObject({ code });
      expect(await countWork()).toBe(0);
      expect(await listErrors()).toEqual([]);
    });

    test("the rule was defined with on_error => 'raise' and fails", async () => {
      await define(DIVIDE, { onError: "raise" });
      await expect(insert()).rejects.toMatchObject({ code: "22012", message: "division by zero" });
      expect(await countWork()).toBe(0);
      expect(await listErrors()).toEqual([]);
    });
  });

  describe("wakes the listeners", () => {
    /** Counts a write's wake-ups: those heard before a sentinel that is sent after the write. */
    async function countWakeUps(write: (client: pg.Client) => Promise<unknown>): Promise<number> {
      const [listener, writer] = [await database.connect(), await database.connect()];
      const heard: string[] = [];
      const sentinel = new Promise<void>((resolve) => {
        listener.on("notification", ({ payload = "" }) => {
          if (payload === "sentinel") resolve();
          else heard.push(payload);
        });
      });
      await listener.query("listen bellwire");
      await write(writer);
      await writer.query("select pg_notify('bellwire', 'sentinel')");
      await sentinel;
      expect(new Set(heard).size).toBeLessThanOrEqual(1);
      return heard.length;
    }

    const countTold = async () =>
      (
        await query<{ told: number; recipients: number }>(
          "select count(*)::int as told, count(distinct recipient_id)::int as recipients from bellwire.notifications",
        )
      )[0];

    beforeEach(() => define(TELL));

    const MANY = 10_000;

    test("once for an INSERT of 10,000 rows, each told to its own recipient", async () => {
      const wakeUps = await countWakeUps((client) =>
        client.query(`insert into public.work (recipient) select generate_series(1, ${MANY})`),
      );
      expect(wakeUps).toBe(1);
      expect(await countTold()).toEqual({ told: MANY, recipients: MANY });
      await query("truncate public.work, bellwire.notifications");
    });

    test("once for a COPY of 10,000 rows", async () => {
      const rows = Array.from({ length: MANY }, (_, i) => `${i}\n`).join("");
      const wakeUps = await countWakeUps((client) =>
        copyIn(client, "copy public.work (recipient) from stdin", rows),
      );
      expect(wakeUps).toBe(1);
      expect(await countTold()).toEqual({ told: MANY, recipients: MANY });
      await query("truncate public.work, bellwire.notifications");
    });

    test("once for a transaction of several statements, at its commit", async () => {
      const wakeUps = await countWakeUps(async (client) => {
        await client.query("begin");
        for (let i = 0; i < 5; i++) await insert(client);
        await client.query("update bellwire.notifications set read_at = now()");
        await client.query("commit");
      });
      expect(wakeUps).toBe(1);
      expect(await countTold()).toEqual({ told: 5, recipients: 1 });
    });

    test.each([
      ["a statement without rows", "insert into public.work (recipient) select 1 where false"],
      ["a statement that tells nobody", "insert into public.work (recipient) values (null)"],
      ["an event without a rule", "update public.work set note = 'x'"],
      ["a rollback", "begin; insert into public.work (recipient) values (7); rollback"],
      [
        "an update of no notification",
        "update bellwire.notifications set read_at = now() where false",
      ],
    ])("not for %s", async (_, sql) => {
      expect(await countWakeUps((client) => client.query(sql))).toBe(0);
    });

    test("once for INSERT … ON CONFLICT DO UPDATE, where each rule sees its own rows", async () => {
      await define(TELL.replace("done", "changed"), { name: "changed", event: "update" });
      await query("insert into public.work (recipient) values (1)");
      const wakeUps = await countWakeUps((client) =>
        client.query(
          `insert into public.work (id, recipient) overriding system value values (1, 8), (2, 9)
               on conflict (id) do update set recipient = excluded.recipient + 100`,
        ),
      );
      expect(wakeUps).toBe(1);
      const told = await query(
        "select recipient_id, type from bellwire.notifications order by recipient_id",
      );
      expect(told).toEqual([
        { recipient_id: "1", type: "work.done" },
        { recipient_id: "108", type: "work.changed" },
        { recipient_id: "9", type: "work.done" },
      ]);
    });

    test("once for MERGE, where each rule sees its own rows", async () => {
      await define(TELL.replace("done", "changed"), { name: "changed", event: "update" });
      await query("insert into public.work (recipient) values (1), (2)");
      const wakeUps = await countWakeUps((client) =>
        client.query(
          `merge into public.work w
           using (values (1, 8), (2, null), (3, 9)) as s (id, recipient) on w.id = s.id
            when matched and s.recipient is null then delete
            when matched then update set recipient = s.recipient
            when not matched then insert (recipient) values (s.recipient)`,
        ),
      );
      expect(wakeUps).toBe(1);
      const told = await query(
        "select recipient_id, type from bellwire.notifications order by recipient_id",
      );
      expect(told).toEqual([
        { recipient_id: "1", type: "work.done" },
        { recipient_id: "2", type: "work.done" },
        { recipient_id: "8", type: "work.changed" },
        { recipient_id: "9", type: "work.done" },
      ]);
    });

    test("for what other rules told, also when one rule fails", async () => {
      await define(DIVIDE, { name: "a" });
      expect(await countWakeUps((client) => insert(client))).toBe(1);
    });
  });

  describe("in savepoints", () => {
    beforeEach(() => define(TELL));

    test("stamps notifications with the top-level transaction's id", async () => {
      await query("begin");
      await query("savepoint a");
      await insert();
      await query("savepoint b");
      await insert();
      await query("release b");
      await query("release a");
      await query(
        "do $$ begin insert into public.work (recipient) values (7); exception when others then null; end $$",
      );
      const [top] = await query<{ xid: string }>("select pg_current_xact_id()::text as xid");
      await query("commit");
      const xids = "created_xid::text as created, changed_xid::text as changed";
      expect(await query(`select ${xids} from bellwire.notifications`)).toEqual(
        Array(3).fill({ created: top?.xid, changed: top?.xid }),
      );
    });

    test("leaves no notification of a savepoint that is rolled back", async () => {
      await query("begin");
      await insert();
      await query("savepoint a");
      await query("insert into public.work (recipient) values (8)");
      await query("rollback to a");
      await query(
        "do $$ begin insert into public.work (recipient) values (9); perform 1 / 0; exception when others then null; end $$",
      );
      await query("commit");
      expect(await query("select recipient_id from bellwire.notifications")).toEqual([
        { recipient_id: "7" },
      ]);
    });
  });
});

type Queryable = { query(sql: string): Promise<unknown> };

/** COPY … FROM STDIN, which `pg` does not implement itself. */
function copyIn(client: pg.Client, sql: string, rows: string): Promise<void> {
  type Connection = { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void };
  return new Promise((resolve, reject) => {
    const copy = new pg.Query(sql, undefined, (err) => (err ? reject(err) : resolve()));
    Object.assign(copy, {
      handleCopyInResponse(connection: Connection) {
        connection.sendCopyFromChunk(Buffer.from(rows));
        connection.endCopyFrom();
      },
    });
    client.query(copy);
  });
}
