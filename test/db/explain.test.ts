import type pg from "pg";
import { afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";

/** Every test runs in a transaction that is rolled back, so ids begin again at each. */
describe.each(inject("servers"))("explain on $name", (server) => {
  let database: TestDatabase;
  let client: pg.Client;

  const query = async (sql: string, params: unknown[] = []) =>
    (await client.query(sql, params)).rows;

  beforeAll(async () => {
    database = await createDatabase(server);
    client = await database.connect();
    return () => database.close();
  });

  beforeEach(() =>
    query(`
      begin;
      alter sequence public.messages_id_seq restart;
      alter sequence public.responses_id_seq restart;
      alter sequence bellwire.notifications_id_seq restart`),
  );
  afterEach(() => query("rollback"));

  const steady = (reason: string) =>
    reason
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d/g, "T")
      .replace(/transaction \d+/g, "transaction X");

  /** The lines without the first, which is about the row: `rule: told: reason`. */
  async function why(table: string, key: string, recipient: string): Promise<string[]> {
    const [row, ...lines] = await query("select * from bellwire.explain($1::regclass, $2, $3)", [
      table,
      key,
      recipient,
    ]);
    expect(steady(row.reason)).toBe(
      `Row ${key} of ${table} was last written by transaction X. Nothing stores when (track_commit_timestamp is off).`,
    );
    return lines.map(({ rule, told, reason }) => `${rule} | ${told ?? ""} | ${steady(reason)}`);
  }

  const message = (sender: number, recipient: number | null, rest = "null, 'Hi'") =>
    query(
      `insert into public.messages (sender_id, recipient_id, task_id, body) values (${sender}, ${recipient}, ${rest})`,
    );

  const define = (
    event: string,
    text: string,
    { table = "public.tasks", name = "r", action = "notify" } = {},
  ) =>
    query("select bellwire.define_rule($1, $2, $3, $4, action => $5)", [
      name,
      table,
      event,
      text,
      action,
    ]);

  describe("of a row and a recipient says", () => {
    test("1. who was told, with which notification, and what became of it", async () => {
      await message(1, 2);
      await query("update bellwire.notifications set seen_at = now(), read_at = now()");
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | yes | On insert: notification 1 of type message.received, written at T, seen at T, read at T, not archived.",
      ]);
    });

    test("2. that another recipient gets it", async () => {
      await message(1, 2);
      expect(await why("public.messages", "1", "3")).toEqual([
        "message_received | no | On insert: its query returns other recipients: 2.",
      ]);
    });

    test("3. that the recipient is the actor", async () => {
      await message(1, 1);
      expect(await why("public.messages", "1", "1")).toEqual([
        "message_received | no | On insert: its query returns 1, but 1 is the actor.",
      ]);
    });

    test("4. that the type is muted, and when that was last changed", async () => {
      await query("select bellwire.mute_types('2', '{message.received}')");
      await query(
        "update bellwire.preferences set changed_at = '2020-01-01 00:00:00Z' where recipient_id = '2'",
      );
      // To mute the same types again changes nothing.
      await query("select bellwire.mute_types('2', '{message.received,message.received}')");
      expect(await query("select changed_at from bellwire.preferences")).toEqual([
        { changed_at: new Date("2020-01-01T00:00:00Z") },
      ]);
      await message(1, 2);
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query returns 2, but 2 has muted message.received (the muted types of 2 were last changed at T).",
      ]);
      await query("select bellwire.mute_types('2', '{other}')");
      expect(
        await query("select changed_at > '2020-01-02' as is_new from bellwire.preferences"),
      ).toEqual([{ is_new: true }]);
    });

    test("5. that a notification has the dedupe_key already", async () => {
      await define(
        "insert",
        "select recipient_id, 'hello' as type, 'k' as dedupe_key, jsonb_build_object('id', id) as data from new_rows",
        { table: "public.messages", name: "message_received" },
      );
      await message(1, 2);
      await message(3, 2);
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | yes | On insert: notification 1 of type hello, written at T, not seen, not read, not archived.",
      ]);
      // Both were written by one transaction here, so the first test has its own.
      await query("update bellwire.notifications set created_xid = '3'");
      expect(await why("public.messages", "2", "2")).toEqual([
        "message_received | no | On insert: its query returns 2, but notification 1 of T has the dedupe_key 'k'.",
      ]);
    });

    test("6. that a condition on the row leaves it out, with the row's values", async () => {
      expect(await why("public.tasks", "1", "1")).toEqual([
        "task_assigned | no | On update: its query returns no recipient_id.",
        "task_closed | no | On update: its query leaves out the row, because of (new.status = ANY ('{completed,cancelled}'::text[])); in this row status is 'open'.",
      ]);
    });

    test("7. that a join finds no row", async () => {
      await define(
        "insert",
        "select t.customer_id as recipient_id, 'x' as type from new_rows m join public.tasks t on t.id = m.task_id",
        {
          table: "public.messages",
          name: "message_received",
        },
      );
      await message(1, 2);
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query finds no row of public.tasks t with (t.id = m.task_id); in this row task_id is null.",
      ]);
    });

    test("8. that a condition leaves out the row that a join finds", async () => {
      await define(
        "insert",
        "select t.customer_id as recipient_id, 'x' as type from new_rows m join public.tasks t on t.id = m.task_id and t.status = 'completed'",
        {
          table: "public.messages",
          name: "message_received",
        },
      );
      await message(1, 2, "1, 'Hi'");
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: public.tasks t has a row with (t.id = m.task_id), but its query leaves that out, because of (t.status = 'completed'::text); in this row task_id is '1'.",
      ]);
    });

    test("9. that NOT EXISTS finds a row", async () => {
      await define(
        "insert",
        "select m.recipient_id, 'x' as type from new_rows m where not exists (select from public.tasks t where t.id = m.task_id)",
        {
          table: "public.messages",
          name: "message_received",
        },
      );
      await message(1, 2, "1, 'Hi'");
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query leaves out the row, because one exists with (t.id = m.task_id); in this row task_id is '1'.",
      ]);
    });

    test("10. that its query returns no recipient", async () => {
      await message(1, null);
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query returns no recipient_id.",
      ]);
    });

    test("11. that the trigger is disabled", async () => {
      await query("alter table public.messages disable trigger rule_message_received");
      await message(1, 2);
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query returns 2 now, with type message.received. But there is no such notification.",
        "message_received |  | Now its trigger on public.messages is disabled.",
      ]);
    });

    test("12. that the trigger is missing", async () => {
      await query("drop trigger rule_message_received on public.messages");
      await message(1, 2);
      expect((await why("public.messages", "1", "2"))[1]).toBe(
        "message_received |  | Now its trigger on public.messages was dropped.",
      );
    });

    test("13. that the rule was defined later", async () => {
      await query("rollback");
      await query(
        "select bellwire.define_rule('late', 'public.users', 'insert', 'select id as recipient_id, ''welcome'' as type from new_rows')",
      );
      expect(await why("public.users", "1", "1")).toEqual([
        "late | no | On insert: its query returns 1 now, with type welcome. But there is no such notification.",
        "late |  | It was defined, or changed last, at T, after the transaction that wrote the row had begun.",
        "user_blocked | no | On update: its query leaves out the row, because of new.blocked; in this row blocked is 'false'.",
      ]);
      await query("select bellwire.drop_rule('late')");
    });

    test("14. that the rule failed with this row, and how", async () => {
      await query("revoke select on public.users from bellwire_rules");
      await query("revoke select (id, name) on public.users from bellwire_rules");
      await message(1, 2);
      await query("grant select on public.users to bellwire_rules");
      await message(1, 3);
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query returns 2 now, with type message.received. But there is no such notification.",
        "message_received |  | It has failed with this row: 42501 permission denied for table users (1 times in all from T to T).",
      ]);
      expect(await why("public.messages", "2", "3")).toHaveLength(1);
    });

    test("15. that nothing stores why: the notification was deleted, perhaps", async () => {
      await message(1, 2);
      await query("delete from bellwire.notifications");
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query returns 2 now, with type message.received. But there is no such notification.",
        "message_received |  | 1 notifications of 2 were deleted or given away, the last at T. Nothing stores whether this was one.",
        "message_received | unknown | Nothing stores why: the row or others that the query reads may have changed since, or the trigger did not fire (disabled then, replication, restore).",
      ]);
    });

    test("16. that an update rule would tell, if the update changed what it compares", async () => {
      await query(
        "set local session_replication_role = replica; update public.tasks set executor_id = 2; reset session_replication_role",
      );
      expect(await why("public.tasks", "1", "2")).toEqual([
        "task_assigned | no | On update: its query returns 2 now, with type task.assigned, if the update changed what it compares; nothing stores the old row. But there is no such notification.",
        "task_assigned | unknown | Nothing stores why: the row or others that the query reads may have changed since, or the trigger did not fire (disabled then, replication, restore).",
        expect.stringContaining("task_closed | no | On update: its query leaves out the row"),
      ]);
    });

    test("17. that a condition on the old row is unknown", async () => {
      await define(
        "update",
        "select new.customer_id as recipient_id, 'x' as type from new_rows new join old_rows old on old.id = new.id where old.status = 'in_progress'",
      );
      expect((await why("public.tasks", "1", "1"))[0]).toBe(
        "r | unknown | On update: its query leaves out the old row, because of (old.status = 'in_progress'::text). Nothing stores the old row, so whether the update met this is unknown.",
      );
    });

    test("18. what a delete rule will do, and what a retraction archives", async () => {
      await define("delete", "select customer_id as recipient_id, 'gone' as type from old_rows");
      await define(
        "delete",
        "select recipient_id, 'message.received' as type, jsonb_build_object('messageId', id) as data from old_rows",
        {
          table: "public.messages",
          action: "retract",
          name: "undo",
        },
      );
      expect((await why("public.tasks", "1", "1"))[0]).toBe(
        "r | no | On delete: its query will return 1, with type gone. The row is still there.",
      );
      await message(1, 2);
      await message(1, 3);
      expect((await why("public.messages", "1", "2"))[1]).toBe(
        "undo |  | On delete it archives notification 1 (not seen, not read, not archived).",
      );
      expect((await why("public.messages", "1", "3"))[1]).toBe(
        "undo | no | On delete: its query returns other recipients: 2.",
      );
    });

    test("19. whose access a revocation ends", async () => {
      await query("update public.users set blocked = true where id = 2");
      expect(await why("public.users", "2", "2")).toEqual([
        "user_blocked |  | On update it revokes the access of 2, if the update changed what its query compares; nothing stores the old row. Revoked last at T.",
      ]);
      expect(await why("public.users", "2", "1")).toEqual([
        "user_blocked | no | On update: its query returns other recipients: 2.",
      ]);
    });

    test("20. that no rule looks at the table, and at which tables rules look", async () => {
      await query(
        "create table public.quiet (id int primary key); insert into public.quiet values (7)",
      );
      const [line, ...rest] = await why("public.quiet", "7", "1");
      expect(rest).toEqual([]);
      expect(line).toBe(
        "null | no | There is no rule on public.quiet. There are rules on public.hire_requests, public.messages, public.responses, public.reviews, public.tasks, public.users.",
      );
    });

    test("21. that the rule's query no longer fits the tables", async () => {
      await message(1, 2);
      await query("alter table public.tasks rename title to name");
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | unknown | On insert: its query fails: 42703 column t.title does not exist.",
      ]);
    });

    test("22. that a row of the result cannot be written", async () => {
      await define(
        "insert",
        "select recipient_id, case when id > 1 then 'x' end as type from new_rows",
        {
          table: "public.messages",
          name: "message_received",
        },
      );
      await message(1, 2);
      expect(await why("public.messages", "1", "2")).toEqual([
        "message_received | no | On insert: its query returns 2, but the type is null, which is an error.",
        expect.stringContaining('It has failed with this row: 23502 null value in column "type"'),
      ]);
    });

    test("23. that the table was recreated without its rule", async () => {
      await query(
        "drop table public.reviews; create table public.reviews (id int primary key); insert into public.reviews values (1)",
      );
      expect(await why("public.reviews", "1", "1")).toEqual([
        "review_received | no | It does not run: its table public.reviews was dropped and created again, without the trigger.",
      ]);
    });

    test("24. that a rule on a partitioned table does not run for a write to its partition", async () => {
      await query(`
        create table public.parted (day int, id int, owner int, primary key (day, id)) partition by list (day);
        create table public.parted_1 partition of public.parted for values in (1)`);
      await define("insert", "select owner as recipient_id, 'x' as type from new_rows", {
        table: "public.parted",
      });
      await query("insert into public.parted_1 values (1, 2, 3)");
      expect((await why("public.parted", "(1,2)", "3")).slice(0, 2)).toEqual([
        "r | no | On insert: its query returns 3 now, with type x. But there is no such notification.",
        "r |  | It runs only for statements that name public.parted, not for those that name public.parted_1.",
      ]);
    });

    test("25. on which event of two", async () => {
      await define(
        "insert or update",
        "select n.customer_id as recipient_id, 'made' as type from new_rows n left join old_rows o on o.id = n.id where o.id is null",
      );
      expect((await why("public.tasks", "1", "1")).slice(0, 2)).toEqual([
        "r | no | On insert: its query returns 1 now, with type made. But there is no such notification.",
        "r | unknown | On update: its query leaves out the row, because one exists with (o.id = n.id); in this row id is '1'. Nothing stores the old row, so whether the update met this is unknown.",
      ]);
    });
  });

  describe("of a notification says", () => {
    const told = async (id: number) =>
      (await query("select * from bellwire.explain($1)", [id])).map(
        ({ rule, told, reason }) => `${rule} | ${told ?? ""} | ${steady(reason)}`,
      );

    test("when it was written, what became of it, and which rule wrote it for which row", async () => {
      await message(1, 2);
      await query("update bellwire.notifications set archived_at = now()");
      expect(await told(1)).toEqual([
        "null | yes | Notification 1 told 2 of message.received. It was written at T by transaction X: not seen, not read, archived at T.",
        `null |  | Its actor is 1. Its dedupe_key is null. Its data is {"actorName": "Anna", "messageId": 1}.`,
        "message_received | yes | On insert of row 1 of public.messages, which that transaction wrote, its query returns this recipient and type.",
      ]);
      expect(
        await query("select created_xid::text from bellwire.notifications where id = 1"),
      ).toEqual([
        {
          created_xid: (await query("select * from bellwire.explain(1)"))[0].reason.match(
            /transaction (\d+)/,
          )[1],
        },
      ]);
    });

    test("which of the rows of its transaction it is about, unless what was told has changed", async () => {
      for (let n = 0; n < 3; n++) await message(1, 2);
      expect((await told(2)).slice(2)).toEqual([
        "message_received | yes | On insert of row 2 of public.messages, which that transaction wrote, its query returns this recipient and type.",
      ]);
      await query("update public.users set name = 'Anne' where id = 1");
      expect((await told(2)).slice(2)).toEqual([
        "message_received | yes | On insert of row 1 of public.messages, which that transaction wrote, its query returns this recipient and type, with other data; so of 2 more rows.",
      ]);
    });

    test("that nothing stores which rule wrote it, if its row was written again, or if no rule did", async () => {
      await query("select bellwire.notify('9', 'hello', dedupe_key => 'it''s')");
      expect(await told(1)).toEqual([
        "null | yes | Notification 1 told 9 of hello. It was written at T by transaction X: not seen, not read, not archived.",
        "null |  | Its actor is not known. Its dedupe_key is 'it''s'. Its data is {}.",
        "null | unknown | Nothing stores which rule wrote it, and no row of a table with a rule is found that shows it: the row was changed since or deleted, or the writer was bellwire.notify().",
      ]);
    });

    test("that it was given away, deleted or pruned", async () => {
      await message(1, 2);
      await query("update bellwire.notifications set recipient_id = '3'");
      expect((await told(1))[2]).toBe("null |  | It was given to 3 by 2, at T.");
      await query("delete from bellwire.notifications");
      expect(await told(1)).toEqual([
        "null | yes | Notification 1 of 3 was deleted or pruned at T by transaction X. Nothing stores what it said.",
      ]);
    });

    test("which row of a partition wrote it, although another partition is far larger", async () => {
      await query(`
        create table public.days (day int, owner int, filler text) partition by list (day);
        create table public.days_1 partition of public.days for values in (1);
        create table public.days_2 partition of public.days for values in (2);
        alter table public.days_1 alter filler set storage plain;
        savepoint other;
        insert into public.days select 1, 0, repeat('x', 8000) from generate_series(1, 33000);
        release other`);
      await define("insert", "select owner as recipient_id, 'x' as type from new_rows", {
        table: "public.days",
      });
      await query("insert into public.days values (2, 7, null)");
      expect((await told(1))[2]).toBe(
        "r | yes | On insert of row (0,1) of public.days_2, which that transaction wrote, its query returns this recipient and type.",
      );
    });
  });

  describe("refuses, and says what to do:", () => {
    test.each([
      [
        "an unknown notification",
        "select bellwire.explain(99)",
        "there is no notification 99",
        "The notifications are 1 to 1.",
      ],
      [
        "an unknown key",
        "select bellwire.explain('public.tasks', '99', '1')",
        "table public.tasks has no row with the key 99",
        "Nothing stores rows that were deleted",
      ],
      [
        "a key of another type",
        "select bellwire.explain('public.tasks', 'x', '1')",
        "'x' is not a key of table public.tasks",
        "The key is the value of column id, of type bigint.",
      ],
      [
        "half a key",
        "select bellwire.explain('public.pairs', '1', '1')",
        "'1' is not a key of table public.pairs",
        "The key is a text of the form (b,a).",
      ],
      [
        "a table without a primary key",
        "select bellwire.explain('public.loose', '1', '1')",
        "table public.loose has no primary key, so a row has no key",
        "Use bellwire.try_rule()",
      ],
      [
        "an unknown table",
        "select bellwire.explain('public.nothing', '1', '1')",
        'relation "public.nothing" does not exist',
        undefined,
      ],
      [
        "no recipient",
        "select bellwire.explain('public.tasks', '1', '')",
        "name a table, the key of one of its rows, and a recipient",
        undefined,
      ],
    ])("%s", async (_, sql, text, hint) => {
      await query(`
        create table public.pairs (a int, b text, primary key (b, a));
        create table public.loose (a int);
        select bellwire.notify('1', 'x')`);
      await expect(query(sql)).rejects.toMatchObject({
        message: text,
        hint: hint && expect.stringContaining(hint),
      });
    });
  });

  test("a key of several columns and types is a record's text", async () => {
    await query(`
      create domain public.day as date check (value > '2000-01-01');
      create table public.pairs (a public.day, b text, owner int, primary key (b, a));
      insert into public.pairs values ('2026-01-02', 'x, y', 7)`);
    await define("insert", "select owner as recipient_id, 'x' as type from new_rows", {
      table: "public.pairs",
    });
    await query("insert into public.pairs values ('2026-01-03', 'x, y', 8)");
    expect(await why("public.pairs", '("x, y",2026-01-03)', "8")).toEqual([
      "r | yes | On insert: notification 1 of type x, written at T, not seen, not read, not archived.",
    ]);
  });

  test("a column that the primary key's index only includes is no part of the key", async () => {
    await query(`
      create table public.wide (owner int, id int, primary key (id) include (owner));
      insert into public.wide values (7, 1)`);
    await define(
      "update",
      "select n.owner as recipient_id, 'x' as type from new_rows n join old_rows o using (id) where n.owner <> o.owner",
      { table: "public.wide" },
    );
    await query("update public.wide set owner = 8");
    expect(await why("public.wide", "1", "8")).toEqual([
      "r | yes | On update: notification 1 of type x, written at T, not seen, not read, not archived.",
    ]);
    expect(await query("select bellwire.row_key('public.wide'::regclass) as key")).toEqual([
      { key: "r.id::text" },
    ]);
  });

  describe("code that a rule's query runs", () => {
    /** A query may call a stable function, which may call one that writes. */
    const plant = (body: string) =>
      query(`
        create function public.deed() returns text volatile language plpgsql as $$ begin ${body} return '2'; end $$;
        create function public.who() returns text stable language plpgsql as $$ begin return public.deed(); end $$;
        create table public.seen (who text);
        grant insert on public.seen to public;
        create sequence public.steps;
        grant usage on public.steps to public`);
    const TELL = "select public.who() as recipient_id, 'x' as type from new_rows";

    test.each([
      [
        "insert into public.seen values ('x');",
        "25006 cannot execute INSERT in a read-only transaction",
      ],
      [
        "perform nextval('public.steps');",
        "25006 cannot execute nextval() in a read-only transaction",
      ],
      [
        "set transaction_read_only = off;",
        "25001 cannot set transaction read-write mode inside a read-only transaction",
      ],
      ["set role bellwire_owner;", '42501 permission denied to set role "bellwire_owner"'],
      ["reset role;", '42501 cannot set parameter "role" within security-definer function'],
      [
        "alter function bellwire.run_as_rules(text, anyarray) security invoker;",
        "25006 cannot execute ALTER FUNCTION in a read-only transaction",
      ],
      ["select count(*) from bellwire.tickets;", "42501 permission denied for table tickets"],
    ])("cannot: %s", async (body, error) => {
      await plant(body);
      await define("insert", TELL);
      const [line] = await why("public.tasks", "1", "2");
      if (body === "set role bellwire_owner;")
        expect(line).toMatch(/^r \| unknown \| On insert: its query fails: (42501|22023) /);
      else expect(line).toBe(`r | unknown | On insert: its query fails: ${error}.`);
      expect(
        await query("select * from bellwire.try_rule($1, 'public.tasks', 'id = 1')", [TELL]),
      ).toMatchObject([
        { key: "1", recipient_id: null, not_told: expect.stringContaining("its query fails: ") },
      ]);
    });

    test("has the rights of bellwire_rules, and its settings do not stay", async () => {
      await plant(
        "perform set_config('application_name', current_user, false); raise notice 'ran as %', current_user;",
      );
      await define("insert", TELL);
      const notices: (string | undefined)[] = [];
      const hear = ({ message: text }: { message?: string | undefined }) => notices.push(text);
      client.on("notice", hear);
      expect(await why("public.tasks", "1", "2")).toHaveLength(4);
      client.off("notice", hear);
      expect([...new Set(notices)]).toEqual(["ran as bellwire_rules"]);
      expect(await query("select current_setting('application_name') as name")).toEqual([
        { name: "" },
      ]);
    });

    test.each([
      "alter function bellwire.run_as_rules(text, anyarray) security invoker",
      "alter function bellwire.run_as_rules(text, anyarray) security invoker set role = bellwire_rules",
      "alter function bellwire.run_as_rules(text, anyarray) security invoker set session_authorization = bellwire_rules",
      "alter function bellwire.run_as_rules(text, anyarray) security invoker set search_path = evil, pg_catalog",
    ])("is not run after: %s", async (change) => {
      await plant("raise notice 'ran as %', current_user;");
      await query(`
        create schema evil;
        create function evil.no(name, name) returns boolean language plpgsql as $$ begin raise 'ran as %', current_user; end $$;
        create operator evil.<> (leftarg = name, rightarg = name, function = evil.no);
        create operator evil.= (leftarg = name, rightarg = name, function = evil.no)`);
      await define("insert", TELL);
      await query(change);
      expect((await why("public.tasks", "1", "2"))[0]).toBe(
        "r | unknown | On insert: its query fails: 42501 bellwire.run_as_rules() runs only as bellwire_rules, and only in a read-only transaction.",
      );
    });

    test("does not delay the other rules for longer than statement_timeout", async () => {
      await plant(
        "perform pg_sleep(case current_setting('transaction_read_only') when 'on' then 60 else 0 end);",
      );
      await define("update", `select public.who() as recipient_id, 'x' as type from new_rows`, {
        name: "a_slow_rule",
      });
      await query("set local statement_timeout = '300ms'");
      const lines = await why("public.tasks", "1", "1");
      expect(lines[0]).toBe(
        "a_slow_rule | unknown | On update: its query fails: it did not finish within the statement_timeout.",
      );
      expect(lines.slice(2)).toEqual([
        expect.stringMatching(/^task_assigned \| no \| /),
        expect.stringMatching(/^task_closed \| no \| /),
      ]);
    });

    test("ends when the user cancels", async () => {
      await plant(
        "perform pg_sleep(case current_setting('transaction_read_only') when 'on' then 60 else 0 end);",
      );
      await define("insert", TELL);
      const [{ pid }] = await query("select pg_backend_pid() as pid");
      const asked = expect(why("public.tasks", "1", "2")).rejects.toMatchObject({ code: "57014" });
      await expect
        .poll(() => database.query("select wait_event from pg_stat_activity where pid = $1", [pid]))
        .toEqual([{ wait_event: "PgSleep" }]);
      await database.query("select pg_cancel_backend($1)", [pid]);
      await asked;
    });
  });

  test("explain writes nothing, takes no transaction id, and works in a read-only transaction", async () => {
    await message(1, 2);
    await query("commit");
    try {
      await query("begin read only");
      expect(
        await query("select count(*)::int from bellwire.explain('public.messages', '1', '2')"),
      ).toEqual([{ count: 2 }]);
      expect(
        await query("select count(*)::int from bellwire.explain('public.messages', '1', '3')"),
      ).toEqual([{ count: 2 }]);
      expect(await query("select count(*)::int from bellwire.explain(1)")).toEqual([{ count: 3 }]);
      await query("commit; begin");
      await query(
        "select bellwire.explain('public.messages', '1', '2'), bellwire.explain('public.tasks', '1', '1')",
      );
      expect(
        await query(
          "select pg_current_xact_id_if_assigned() as xid, current_setting('transaction_read_only') as read_only",
        ),
      ).toEqual([{ xid: null, read_only: "off" }]);
    } finally {
      await query("commit");
      await query(
        "delete from public.messages; delete from bellwire.notifications; delete from bellwire.removals",
      );
      await query("begin");
    }
  });

  describe("try_rule", () => {
    const tryRule = (text: string, table: string, where: string) =>
      query("select * from bellwire.try_rule($1, $2::regclass, $3)", [text, table, where]);

    test("shows each notification with the key of its row, and why it would not be written", async () => {
      await query(
        "select bellwire.mute_types('3', '{hi}'), bellwire.notify('4', 'hi', dedupe_key => '5')",
      );
      await message(1, 2);
      await message(1, 1);
      await message(1, 3);
      await message(1, null);
      await message(1, 4);
      await message(2, 1);
      const rows = await tryRule(
        `select m.recipient_id, 'hi' as type, m.sender_id as actor_id, m.body as title, m.body as body, '/m' as link,
                jsonb_build_object('m', m.id) as data, m.id as dedupe_key
           from new_rows m join public.users u on u.id = m.sender_id and u.name = 'Anna'`,
        "public.messages",
        "t.id between 1 and 6 -- all",
      );
      const shared = { type: "hi", actor_id: "1", title: "Hi", body: "Hi", link: "/m" };
      const row = (key: string, recipient_id: string | null, not_told: unknown) => ({
        ...shared,
        key,
        recipient_id,
        data: `{"m": ${key}}`,
        dedupe_key: key,
        not_told: not_told && expect.stringMatching(`^${not_told}`),
      });
      expect(rows).toEqual([
        row("1", "2", null),
        row("2", "1", "1 is the actor$"),
        row("3", "3", "3 has muted hi "),
        row("4", null, "the recipient_id is null$"),
        row("5", "4", "notification 1 of .* has the dedupe_key '5'$"),
        {
          ...Object.fromEntries(Object.keys(shared).map((column) => [column, null])),
          key: "6",
          recipient_id: null,
          data: null,
          dedupe_key: null,
          not_told:
            "public.users u has a row with (u.id = m.sender_id), but its query leaves that out, because of (u.name = 'Anna'::text); in this row sender_id is '2'",
        },
      ]);
    });

    test("tries an update if the query reads both tables, and a delete if it reads old_rows", async () => {
      const both =
        "select n.id as recipient_id, 'x' as type from new_rows n join old_rows o on o.id = n.id where n.name <> o.name";
      expect(await tryRule(both, "public.users", "id = 1")).toMatchObject([
        { key: "1", recipient_id: "1", not_told: null },
      ]);
      const old = "select id as recipient_id, 'x' as type from old_rows";
      expect(await tryRule(old, "public.users", "id = 2")).toMatchObject([{ recipient_id: "2" }]);
    });

    test("tries 100 rows at most and says so, and none of a table without such rows", async () => {
      await query(
        "create table public.loose (a int); insert into public.loose select generate_series(1, 101)",
      );
      const text = "select a as recipient_id, 'x' as type from new_rows";
      const notices: (string | undefined)[] = [];
      const hear = ({ message: said }: { message?: string | undefined }) => notices.push(said);
      client.on("notice", hear);
      const rows = await tryRule(text, "public.loose", "true");
      expect(await tryRule(text, "public.loose", "a < 101")).toHaveLength(100);
      client.off("notice", hear);
      expect(rows).toHaveLength(100);
      expect(notices).toEqual([
        "only 100 of the rows were tried; narrow the condition to try others",
      ]);
      expect(rows[0]).toMatchObject({ key: null, recipient_id: "1" });
      expect(await tryRule(text, "public.loose", "a < 0")).toEqual([]);
    });

    test("invents an old row that differs in every column but the key, whatever its type", async () => {
      const columns = {
        flag: "boolean",
        small: "smallint",
        whole: "bigint",
        price: "numeric(6,2)",
        ratio: "real",
        note: "varchar(3)",
        code: "char(2)",
        day: "date",
        at: "timestamptz",
        local: "timestamp(3)",
        ref: "uuid",
        data: "jsonb",
        mood: "public.mood",
        "Odd name": "text",
      };
      await query(`
        create type public.mood as enum ('sad', 'glad');
        create table public.typed (id int primary key, ${Object.entries(columns)
          .map(([name, type]) => `"${name}" ${type}`)
          .join(", ")});
        insert into public.typed (id) values (1);
        insert into public.typed values (2, false, 0, 0, 0, 0, '', '', 'epoch', 'epoch', 'epoch', '00000000-0000-0000-0000-000000000000', '{}', 'sad', '');
        insert into public.typed values (3, true, 32767, 7, 9999.99, 1, 'abc', 'ab', '2026-01-01', now(), now(), gen_random_uuid(), '{"a":1}', 'glad', 'x')`);
      const changed = Object.keys(columns)
        .map((name) => `n."${name}" is distinct from o."${name}"`)
        .join(" and ");
      const rows = await tryRule(
        `select n.id as recipient_id, 'x' as type from new_rows n join old_rows o on o.id = n.id where ${changed}`,
        "public.typed",
        "true",
      );
      expect(rows.map((row) => row.recipient_id)).toEqual(["1", "2", "3"]);
    });

    test.each([
      [
        "select 1 as recipient_id from new_rows",
        'rule "try_rule()": the query does not return "type"',
      ],
      [
        "delete from public.users returning id as recipient_id, 'x' as type",
        'rule "try_rule()": syntax error at or near "from"',
      ],
      [
        "with gone as (delete from public.users returning id) select id as recipient_id, 'x' as type from gone",
        'rule "try_rule()": WITH clause containing a data-modifying statement must be at the top level',
      ],
      [
        "select 1 as recipient_id, 'x' as type from new_rows; drop table public.users",
        'rule "try_rule()": syntax error at or near ";"',
      ],
      [
        "select nextval('public.users_id_seq') as recipient_id, 'x' as type from new_rows",
        'rule "try_rule()": the query calls nextval(regclass), which is volatile and so may write',
      ],
    ])("refuses what define_rule refuses: %s", async (text, error) => {
      await expect(tryRule(text, "public.users", "true")).rejects.toMatchObject({
        message: expect.stringContaining(error),
      });
    });

    test.each([
      [
        "two conditions",
        "select a as recipient_id, 'x' as type from new_rows where s = 'y' and a > 3",
        "its query leaves out the row, because of ((new_rows.a > 3) AND (new_rows.s = 'y'::text)); in this row a is '5', s is 'x'",
      ],
      [
        "a name in quotes",
        `select a as recipient_id, 'x' as type from new_rows n where n."Odd ""name" = 'y'`,
        `its query leaves out the row, because of (n."Odd ""name" = 'y'::text); in this row Odd "name is 'o'`,
      ],
      [
        "EXISTS",
        "select a as recipient_id, 'x' as type from new_rows n where exists (select from public.users u where u.id = n.a)",
        "its query finds no row of public.users u with (u.id = n.a); in this row a is '5'",
      ],
      [
        "NOT IN",
        "select a as recipient_id, 'x' as type from new_rows n where n.a not in (select u.id + 1 from public.users u)",
        /^its query leaves out the row, because of \(NOT .*SubPlan 2.*\); SubPlan 2 reads users/,
      ],
      [
        "an uncorrelated EXISTS",
        "select 7 as recipient_id, 'x' as type where exists (select from new_rows where a > 7)",
        /^its query leaves out all rows, because of .*; InitPlan 2.* reads new_rows$/,
      ],
      [
        "WITH",
        "with m as materialized (select * from new_rows where s = 'q') select a as recipient_id, 'x' as type from m",
        "its query leaves out the row, because of (new_rows.s = 'q'::text); in this row s is 'x'",
      ],
      [
        "HAVING",
        "select a as recipient_id, 'x' as type from new_rows group by a having count(*) > 1",
        "its query leaves out all rows, because of (count(*) > 1)",
      ],
      [
        "UNION ALL",
        "select a as recipient_id, 'x' as type from new_rows where s = 'y' union all select u.id, 'y' from new_rows n join public.users u on u.id = n.a",
        "its query leaves out the row, because of (new_rows.s = 'y'::text); and its query finds no row of public.users u with (u.id = n.a); in this row a is '5', s is 'x'",
      ],
      [
        "a constant",
        "select a as recipient_id, 'x' as type from new_rows where false",
        "its query leaves out all rows, because of false",
      ],
      [
        "LIMIT",
        "select a as recipient_id, 'x' as type from new_rows limit 0",
        "its query returns no row",
      ],
      [
        "an outer join whose row must be missing",
        "select a as recipient_id, 'x' as type from new_rows n left join public.users u on u.id = 1 where u.name is null",
        "its query leaves out all rows, because of (u.name IS NULL)",
      ],
      [
        "a join without an index",
        "select u.id as recipient_id, 'x' as type from new_rows n join public.users u on u.name = n.s and not u.blocked",
        "its query finds no rows to join with (u.name = n.s), of those with (NOT u.blocked); in this row s is 'x'",
      ],
      [
        "an empty table",
        "select r.sender_id as recipient_id, 'x' as type from new_rows n join public.messages r on true",
        "public.messages r has no row",
      ],
      [
        "one of two rows that a condition leaves out, in a loop",
        "select u.id as recipient_id, 'x' as type from new_rows n cross join lateral (values (1), (99)) v (x) join public.users u on u.id = v.x where u.id > n.a",
        "its query finds no rows to join with (u.id > n.a); in this row a is '5'",
      ],
    ])("quotes the condition that leaves out a row: %s", async (_, text, reason) => {
      await query(`
        create table public.shapes (id int primary key, gone int, a int, s text, j json, "Odd ""name" text);
        alter table public.shapes drop column gone;
        insert into public.shapes values (1, 5, 'x', '{"a":"\\u0000"}', 'o');
        grant select on public.users, public.messages to bellwire_rules`);
      const [row, ...rest] = await tryRule(text, "public.shapes", "true");
      expect(rest).toEqual([]);
      expect(row).toMatchObject({ key: "1", recipient_id: null });
      if (typeof reason === "string") expect(row.not_told).toBe(reason);
      else expect(row.not_told).toMatch(reason);
    });

    test("leaves nothing behind", async () => {
      const count = () =>
        query(
          `select (select count(*) from pg_class) as relations, (select count(*) from pg_proc) as functions,
                  (select count(*) from bellwire.notifications) as notifications, (select count(*) from bellwire.rule_definitions) as rules,
                  (select last_value from bellwire.notifications_id_seq) as last_id, has_schema_privilege('bellwire_rules', 'bellwire', 'create') as may_create`,
        );
      const before = await count();
      expect(
        await tryRule(
          "select id as recipient_id, 'x' as type from new_rows",
          "public.users",
          "id = 1",
        ),
      ).toMatchObject([{ recipient_id: "1", not_told: null }]);
      expect(await count()).toEqual(before);
      expect(await query("select current_setting('transaction_read_only') as read_only")).toEqual([
        { read_only: "off" },
      ]);
    });

    test("refuses a condition that writes", async () => {
      await query(
        "create function public.nasty() returns boolean language sql volatile as 'delete from public.messages; select true'",
      );
      await expect(
        tryRule(
          "select 1 as recipient_id, 'x' as type from new_rows",
          "public.users",
          "public.nasty()",
        ),
      ).rejects.toMatchObject({ code: "25006" });
    });
  });

  describe("may be called", () => {
    const CALLS = [
      "select * from bellwire.explain('public.tasks', '1', '1')",
      "select * from bellwire.explain(1)",
      "select * from bellwire.try_rule('select customer_id as recipient_id, ''x'' as type from new_rows', 'public.tasks', 'id = 1')",
    ];
    test("by a member of bellwire_owner who may read the table", async () => {
      const role = `bellwire_test_${Date.now()}`;
      await query(`
        select bellwire.notify('1', 'x');
        create role ${role}; grant bellwire_owner to ${role}; grant usage on schema public to ${role};
        grant select on public.tasks to ${role}; set role ${role}`);
      expect(await query(CALLS[0] ?? "")).toHaveLength(3);
      expect(await query(CALLS[1] ?? "")).toHaveLength(8);
      expect(await query(CALLS[2] ?? "")).toMatchObject([{ recipient_id: "1" }]);
    });

    test.each(["bellwire_service", "bellwire_rules", "pg_monitor"])("not by %s", async (role) => {
      await query(`grant usage on schema bellwire to pg_monitor; set role ${role}`);
      for (const call of CALLS) {
        await query("savepoint before");
        await expect(query(call)).rejects.toMatchObject({ code: "42501" });
        await query("rollback to before");
      }
    });
  });
});
