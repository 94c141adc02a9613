import { afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const READS_BOTH = `
  select coalesce(n.owner_id, o.owner_id) as recipient_id,
         case when o.id is null then 'made' when n.id is null then 'gone' else 'changed' end as type,
         coalesce(o.note, '-') || ' > ' || coalesce(n.note, '-') as title
    from new_rows n
    full join old_rows o on o.id = n.id`;

describe.each(inject("servers"))("rules on $name", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    await query(`
      create table public.things (id int primary key, owner_id bigint, note text);
      create table public.parted (id int, owner_id bigint, note text) partition by list (id);
      create table public.parted_1 partition of public.parted for values in (1);
      create table public.parted_2 partition of public.parted for values in (2, 3)`);
    return () => database.close();
  });

  afterEach(async () => {
    await query(`
      select bellwire.drop_rule(name) from bellwire.rules where name not in ('message_received', 'user_blocked');
      -- For a few rows, 20 ms a table less than truncate.
      delete from public.things;
      delete from public.parted;
      delete from bellwire.notifications;
      delete from bellwire.rule_error_log;
      delete from bellwire.revocations`);
  });

  interface Given {
    name?: string;
    table?: string;
    event: string;
    text?: string;
    action?: string;
    onError?: string;
  }

  const define = ({ name = "r", event, text = READS_BOTH, ...rest }: Given) =>
    query("select bellwire.define_rule($1, $2, $3, $4, $5, $6)", [
      name,
      rest.table ?? "public.things",
      event,
      text,
      rest.onError ?? "record",
      rest.action ?? "notify",
    ]);

  const told = async () =>
    (
      await query<{ line: string }>(
        "select concat_ws(' ', recipient_id, type, title) as line from bellwire.notifications order by id",
      )
    ).map(({ line }) => line);

  const errors = () => query("select rule, sqlstate, message from bellwire.rule_errors");

  const refusal = (attempt: Promise<unknown>) =>
    attempt.then(
      () => "not refused",
      ({ code, message, hint }) => `${code} ${message} ${hint ?? ""}`.trim(),
    );

  const WRITES = `
    insert into public.things values (1, 7, 'a'), (2, 8, 'b');
    update public.things set note = 'c' where id = 1;
    delete from public.things where id = 2`;

  test.each([
    ["insert", ["7 made - > a", "8 made - > b"]],
    ["update", ["7 changed a > c"]],
    ["delete", ["8 gone b > -"]],
    ["insert or update", ["7 made - > a", "8 made - > b", "7 changed a > c"]],
  ])(
    "one query reads both transition tables on %s; a table that the event does not have is empty",
    async (event, expected) => {
      await define({ event });
      await query(WRITES);
      expect(await told()).toEqual(expected);
      expect(await errors()).toEqual([]);
      expect(
        await query("select event, action, enabled from bellwire.rules where name = 'r'"),
      ).toEqual([{ event, action: "notify", enabled: true }]);
    },
  );

  test.each([
    ["delete", "select owner_id as recipient_id, 'gone' as type from old_rows", ["8 gone"]],
    [
      "insert or update",
      "select owner_id as recipient_id, 'now' as type, note as title from new_rows",
      ["7 now a", "8 now b", "7 now c"],
    ],
  ])("a query on %s may name one transition table only", async (event, text, expected) => {
    await define({ event, text });
    await query(WRITES);
    expect(await told()).toEqual(expected);
  });

  test("insert on conflict do update tells each row once, as inserted or as updated", async () => {
    await query("insert into public.things values (1, 7, 'a')");
    await define({ event: "insert or update" });
    const upsert = `
      insert into public.things values (1, 7, 'b'), (2, 8, 'c')
          on conflict (id) do update set note = excluded.note`;
    await query(upsert);
    expect((await told()).sort()).toEqual(["7 changed a > b", "8 made - > c"]);
    await query(upsert);
    expect((await told()).sort()).toEqual([
      "7 changed a > b",
      "7 changed b > b",
      "8 changed c > c",
      "8 made - > c",
    ]);
    expect(await errors()).toEqual([]);
  });

  test("a statement of thousands of rows tells every row", async () => {
    await define({ event: "insert or update" });
    await query("insert into public.things select n, 7, 'a' from generate_series(1, 3000) n");
    await query("update public.things set note = 'b'");
    expect(await query("select count(*)::int from bellwire.notifications")).toEqual([
      { count: 6000 },
    ]);
    await query("truncate public.things, bellwire.notifications");
  });

  test("a changed event, a changed action and drop_rule leave no trigger behind", async () => {
    const triggers = () =>
      query(
        "select tgname as name from pg_trigger where tgrelid = 'public.things'::regclass order by 1",
      );
    await define({ event: "insert or update" });
    expect(await triggers()).toEqual([{ name: "insert_rule_r" }, { name: "rule_r" }]);
    await define({ name: "insert_r", event: "insert or update" });
    await define({ name: "x".repeat(63), event: "insert or update" });
    expect(await triggers()).toHaveLength(6);
    await define({ event: "delete" });
    expect(await triggers()).toHaveLength(5);
    for (const name of ["r", "insert_r", "x".repeat(63)])
      await query("select bellwire.drop_rule($1)", [name]);
    expect(await triggers()).toEqual([]);
  });

  test("a rule with one of its two triggers gone is not enabled, and define_rule repairs it", async () => {
    for (const damage of [
      "drop trigger insert_rule_r on public.things",
      "drop trigger rule_r on public.things",
    ]) {
      await define({ event: "insert or update" });
      await query(damage);
      expect(await query("select enabled from bellwire.rules where name = 'r'")).toEqual([
        { enabled: false },
      ]);
      await define({ event: "insert or update" });
      expect(await query("select enabled from bellwire.rules where name = 'r'")).toEqual([
        { enabled: true },
      ]);
    }
  });

  test("an unchanged definition changes nothing", async () => {
    const versions = () =>
      query(
        "select d.xmin::text as d, p.xmin::text as p from bellwire.rule_definitions d join pg_proc p on p.oid = to_regprocedure(d.function) where d.name = 'r'",
      );
    const rule = { event: "insert or update", text: READS_BOTH };
    await define(rule);
    const before = await versions();
    await define(rule);
    expect(await versions()).toEqual(before);
  });

  test("an error of the query is recorded with the number of rows on each event, and fails no write", async () => {
    for (const event of ["delete", "insert or update"])
      await define({
        name: event,
        event,
        text: "select 1 / (coalesce(n.id, o.id) - 1) as recipient_id, 'x' as type from new_rows n full join old_rows o using (id)",
      });
    await query(WRITES);
    await query("delete from public.things");
    expect(
      await query(
        "select rule, sqlstate, errors, silenced from bellwire.rule_errors order by rule, errors",
      ),
    ).toEqual([
      { rule: "delete", sqlstate: "22012", errors: "1", silenced: "1" },
      { rule: "insert or update", sqlstate: "22012", errors: "2", silenced: "3" },
    ]);
  });

  describe("retract", () => {
    const tell = (key: string | null, data: object, recipient = "7") =>
      query("select bellwire.notify($1, 'task.open', data => $2, dedupe_key => $3)", [
        recipient,
        JSON.stringify(data),
        key,
      ]);
    const archived = () =>
      query("select id from bellwire.notifications where archived_at is not null order by id");

    test("archives that recipient's notifications with the key only, and reaches readers", async () => {
      await define({
        event: "delete",
        action: "retract",
        text: "select owner_id as recipient_id, 'task-' || id as dedupe_key from old_rows",
      });
      await tell("task-1", {});
      await tell("task-2", {});
      await tell("task-1", {}, "8");
      await query("insert into public.things values (1, 7, 'a'), (3, 7, 'c')");
      const [since] = await query<{ at: string }>("select pg_current_snapshot()::text as at");
      await query("delete from public.things");
      expect(await errors()).toEqual([]);
      expect(
        await query(
          "select recipient_id, dedupe_key from bellwire.notifications where archived_at is not null",
        ),
      ).toEqual([{ recipient_id: "7", dedupe_key: "task-1" }]);
      expect(
        await query(
          "select recipient_id, stage, archived_at is not null as archived from bellwire.changes_since($1) where id is not null",
          [since?.at],
        ),
      ).toEqual([{ recipient_id: "7", stage: 2, archived: true }]);
    });

    test("archives notifications with the key of any type, or of the type it names", async () => {
      const tellAs = (type: string) =>
        query("select bellwire.notify('7', $1, dedupe_key => 'task-1')", [type]);
      await define({
        event: "update",
        action: "retract",
        text: "select owner_id as recipient_id, 'task.open' as type, 'task-' || id as dedupe_key from new_rows",
      });
      await query("insert into public.things values (1, 7, 'a')");
      for (const type of ["task.open", "task.late"]) await tellAs(type);
      await query("update public.things set note = 'b'");
      const archivedTypes = () =>
        query(
          "select type from bellwire.notifications where archived_at is not null order by type",
        );
      expect(await archivedTypes()).toEqual([{ type: "task.open" }]);
      await define({
        event: "update",
        action: "retract",
        text: "select owner_id as recipient_id, 'task-' || id as dedupe_key from new_rows",
      });
      await query("update public.things set note = 'c'");
      expect(await archivedTypes()).toEqual([{ type: "task.late" }, { type: "task.open" }]);
      expect(await errors()).toEqual([]);
    });

    test("archives notifications of the type whose data contains the given data, and none a second time", async () => {
      await define({
        event: "update",
        action: "retract",
        text: `select owner_id as recipient_id, 'task.open' as type, jsonb_build_object('taskId', id) as data
                 from new_rows where note = 'closed'`,
      });
      await tell(null, { taskId: 1, more: true });
      await tell(null, { taskId: 2 });
      await query("insert into public.things values (1, 7, 'open'), (2, 7, 'open')");
      await query("update public.things set note = 'closed' where id = 1");
      const before = await archived();
      expect(before).toHaveLength(1);
      const at = await query("select archived_at, changed_xid::text from bellwire.notifications");
      await query("update public.things set note = 'closed' where id = 1");
      expect(
        await query("select archived_at, changed_xid::text from bellwire.notifications"),
      ).toEqual(at);
    });

    test("takes back a message that is deleted", async () => {
      await define({
        table: "public.messages",
        event: "delete",
        action: "retract",
        text: `select m.recipient_id, 'message.received' as type, jsonb_build_object('messageId', m.id) as data
                 from old_rows m`,
      });
      await query("insert into public.messages (sender_id, recipient_id) values (1, 2), (1, 3)");
      await query("delete from public.messages where recipient_id = 2");
      expect(
        await query(
          "select recipient_id from bellwire.notifications where archived_at is not null",
        ),
      ).toEqual([{ recipient_id: "2" }]);
    });

    test("fails no write when its data is not JSON", async () => {
      await define({
        event: "insert",
        action: "retract",
        text: "select owner_id as recipient_id, 'task.open' as type, note::jsonb as data from new_rows",
      });
      await tell(null, {});
      await query("insert into public.things values (1, 7, 'not json'), (2, 7, '{}')");
      expect(await errors()).toMatchObject([{ rule: "r", sqlstate: "22P02" }]);
    });

    test("a concurrent mark fails no write under repeatable read", async () => {
      await define({
        event: "delete",
        action: "retract",
        text: "select owner_id as recipient_id, 'task-' || id as dedupe_key from old_rows",
      });
      await tell("task-1", {});
      await query("insert into public.things values (1, 7, 'a')");
      const writer = await database.connect();
      await writer.query("begin isolation level repeatable read");
      await writer.query("select from public.things");
      await query("update bellwire.notifications set read_at = now()");
      await writer.query("delete from public.things");
      await writer.query("commit");
      expect(await query("select id from public.things")).toEqual([]);
      expect(await errors()).toMatchObject([{ rule: "r", sqlstate: "40001" }]);
    });

    test("two statements that retract the same notifications in different orders do not deadlock", async () => {
      await define({
        event: "delete",
        action: "retract",
        text: "select owner_id as recipient_id, 'task-' || id as dedupe_key from old_rows order by id * (note)::int",
      });
      await query(
        "insert into public.things select n, 7, case when n <= 200 then 1 else -1 end from generate_series(1, 400) n",
      );
      for (let n = 1; n <= 200; n++) await tell(`task-${n}`, {});
      const clients = await Promise.all([database.connect(), database.connect()]);
      await Promise.all([
        clients[0]?.query("delete from public.things where id <= 200"),
        clients[1]?.query("delete from public.things where id > 200"),
      ]);
      expect(await errors()).toEqual([]);
      expect(await archived()).toHaveLength(200);
    });
  });

  describe("revoke", () => {
    test("revokes each recipient once", async () => {
      await define({
        event: "insert or update",
        action: "revoke",
        text: "select owner_id as recipient_id from new_rows where note = 'blocked'",
      });
      await query(
        "insert into public.things values (1, 7, 'blocked'), (2, 7, 'blocked'), (3, null, 'blocked'), (4, 9, 'fine')",
      );
      expect(await errors()).toEqual([]);
      expect(await query("select recipient_id from bellwire.revocations")).toEqual([
        { recipient_id: "7" },
      ]);
    });

    test("a concurrent revocation fails no write under repeatable read", async () => {
      await define({
        event: "insert",
        action: "revoke",
        text: "select owner_id as recipient_id from new_rows",
      });
      await query("select bellwire.revoke('7')");
      const writer = await database.connect();
      await writer.query("begin isolation level repeatable read");
      await writer.query("select from public.things");
      await query("select bellwire.revoke('7')");
      await writer.query("insert into public.things values (1, 7, 'a')");
      await writer.query("commit");
      expect(await errors()).toMatchObject([{ rule: "r", sqlstate: "40001" }]);
    });

    test("the marketplace's rule revokes a blocked user by one SELECT", async () => {
      await query("insert into public.users (name) values ('Eve')");
      await query("update public.users set name = 'Eva' where name = 'Eve'");
      expect(await query("select from bellwire.revocations")).toEqual([]);
      await query("update public.users set blocked = true where name = 'Eva'");
      expect(
        await query(
          "select u.name from bellwire.revocations r join public.users u on u.id::text = r.recipient_id",
        ),
      ).toEqual([{ name: "Eva" }]);
      expect(await errors()).toEqual([]);
    });
  });

  test.each([
    [
      { action: "retract", text: "select owner_id as recipient_id from new_rows" },
      '42703 rule "r": the query returns the wrong columns for retract It returns recipient_id. Return recipient_id and dedupe_key, optionally with type; or recipient_id, type and data.',
    ],
    [
      {
        action: "retract",
        text: "select owner_id as recipient_id, 'x' as type, 'x' as title, 'k' as dedupe_key from new_rows",
      },
      '42703 rule "r": the query returns the wrong columns for retract It returns recipient_id, type, title, dedupe_key. Return recipient_id and dedupe_key, optionally with type; or recipient_id, type and data.',
    ],
    [
      {
        action: "revoke",
        text: "select owner_id as recipient_id, 'x' as type from new_rows",
      },
      '42703 rule "r": the query returns the wrong columns for revoke It returns recipient_id, type. Return recipient_id alone.',
    ],
    [
      { action: "delete" },
      `22023 rule "r": action must be 'notify', 'retract' or 'revoke', not 'delete'`,
    ],
  ])("define_rule refuses %j", async (given, expected) => {
    expect(await refusal(define({ event: "insert", ...given }))).toBe(expected);
  });

  test("there is one define_rule function, also after an upgrade", async () => {
    expect(await query("select count(*)::int from pg_proc where proname = 'define_rule'")).toEqual([
      { count: 1 },
    ]);
  });

  describe("tables that others inherit from", () => {
    async function noticesOf(given: Given) {
      const client = await database.connect();
      const notices: (string | undefined)[] = [];
      client.on("notice", ({ message }) => notices.push(message));
      await client.query("select bellwire.define_rule($1, $2, $3, $4)", [
        given.name ?? "r",
        given.table,
        given.event,
        given.text ?? "select owner_id as recipient_id, 'x' as type, note as title from new_rows",
      ]);
      await client.end();
      return notices;
    }

    test("a rule on a partition fires only for statements that name the partition", async () => {
      expect(await noticesOf({ table: "public.parted_1", event: "insert" })).toEqual([
        'rule "r" does not fire for statements that name public.parted, of which public.parted_1 is a partition. Define another rule on public.parted',
      ]);
      await query("insert into public.parted values (1, 7, 'through the parent')");
      await query("insert into public.parted_1 values (1, 7, 'straight')");
      expect(await told()).toEqual(["7 x straight"]);
    });

    test("a rule on a partitioned table says what it does not see: a MERGE that moves rows is one case", async () => {
      const [notice] = await noticesOf({ table: "public.parted", event: "update" });
      expect(notice).toBe(
        'rule "r" does not fire for statements that name a partition of public.parted. Define another rule on each partition that is written directly. Do not move rows between partitions by MERGE: an update rule gets none of them, and an insert rule may get them as new',
      );
      await define({
        name: "i",
        table: "public.parted",
        event: "insert",
        text: "select owner_id as recipient_id, 'new' as type, note as title from new_rows",
      });
      await query("insert into public.parted values (1, 7, 'moves')");
      await query("truncate bellwire.notifications");
      await query(`
        merge into public.parted p using (values (1), (3)) as s (id) on p.id = s.id
         when matched then update set id = 2
         when not matched then insert values (s.id, 8, 'new')`);
      expect((await told()).sort()).toEqual(["7 new moves", "8 new new"]);
    });

    test("rules on inheritance parents and children say the same", async () => {
      await query(`
        create table public.child () inherits (public.things);
        create table public.grandchild () inherits (public.child)`);
      expect(await noticesOf({ table: "public.things", event: "insert" })).toEqual([
        'rule "r" does not fire for statements that name a table that inherits from public.things. Define another rule on each that is written directly: public.child',
      ]);
      expect(await noticesOf({ name: "c", table: "public.child", event: "insert" })).toEqual([
        'rule "c" does not fire for statements that name public.things, from which public.child inherits. Define another rule on public.things',
        'rule "c" does not fire for statements that name a table that inherits from public.child. Define another rule on each that is written directly: public.grandchild',
      ]);
      await query("insert into public.child values (1, 7, 'c')");
      expect(await told()).toEqual(["7 x c"]);
      await query("select bellwire.drop_rule('c'); drop table public.child cascade");
    });

    test("a rule on an ordinary table gives no notice", async () => {
      expect(await noticesOf({ table: "public.things", event: "insert" })).toEqual([]);
    });
  });
});
