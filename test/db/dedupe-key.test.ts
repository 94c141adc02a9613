import { beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const TELL =
  "select w.recipient as recipient_id, 'work.done' as type, w.key as dedupe_key from new_rows w";

describe.each(inject("servers"))("a dedupe_key on $name", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    await query("select bellwire.drop_rule(name) from bellwire.rules");
    return () => database.close();
  });

  beforeEach(async () => {
    await query(
      "create table public.work (id bigint generated always as identity, recipient bigint, key text)",
    );
    onTestFinished(async () => {
      await query(`
        select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid();
        drop table public.work cascade;
        select bellwire.drop_rule(name) from bellwire.rules;
        truncate bellwire.notifications, bellwire.rule_error_log`);
    });
  });

  const define = (text = TELL, { name = "told", onError = "record" } = {}) =>
    query("select bellwire.define_rule($1, 'public.work', 'insert', $2, $3)", [
      name,
      text,
      onError,
    ]);

  const listErrors = () =>
    query(
      "select rule, sqlstate, errors::int, silenced::int from bellwire.rule_errors order by rule, sqlstate",
    );

  const countTold = async () =>
    (await query<{ n: number }>("select count(*)::int as n from bellwire.notifications"))[0]?.n;

  async function openWriter(level = "read committed") {
    const writer = await database.connect();
    await writer.query(`set deadlock_timeout = '100ms'; begin isolation level ${level}; select 1`);
    return writer;
  }

  type Writer = Awaited<ReturnType<typeof openWriter>>;

  const isWaiting = async (pid: number) =>
    (
      await query(
        "select from pg_stat_activity where pid = $1 and wait_event_type = 'Lock' and wait_event = 'transactionid'",
        [pid],
      )
    ).length === 1;

  async function untilItWaits(writer: Writer) {
    const pid = (writer as unknown as { processID: number }).processID;
    await expect.poll(() => isWaiting(pid)).toBe(true);
  }

  test("counts for one type: the same key with another type tells too", async () => {
    await define();
    await define(TELL.replace("done", "seen"), { name: "other" });
    for (let n = 0; n < 2; n++)
      await query("insert into public.work (recipient, key) values (7, 'k')");
    expect(
      await query(
        "select recipient_id, type, dedupe_key from bellwire.notifications order by type",
      ),
    ).toEqual([
      { recipient_id: "7", type: "work.done", dedupe_key: "k" },
      { recipient_id: "7", type: "work.seen", dedupe_key: "k" },
    ]);
    await query("select bellwire.notify('7', 'by.hand', dedupe_key => 'k')");
    expect(
      await query("select bellwire.notify('7', 'by.hand', dedupe_key => 'k') as again"),
    ).toEqual([{ again: null }]);
    expect(await countTold()).toBe(3);
  });

  test("two sessions that write the same 400 keys, one ascending and one descending, never deadlock", async () => {
    await define();
    const sides = [await openWriter(), await openWriter()];
    await Promise.all(
      sides.map(async (writer, side) => {
        await writer.query("commit");
        for (let n = 0; n < 30; n++) {
          await writer.query(
            `insert into public.work (recipient, key)
             select r, 'k${n}' from generate_series(1, 400) r order by r ${side ? "desc" : ""}`,
          );
        }
      }),
    );
    expect(await listErrors()).toEqual([]);
    expect(await countTold()).toBe(400 * 30);
  });

  /** Each session writes a key, then the other's. Either may be ended by the deadlock check. */
  async function crossKeys(first: (writer: Writer, key: string) => Promise<unknown>) {
    const [one, two] = [await openWriter(), await openWriter()];
    await first(one, "a");
    await first(two, "b");
    const crossing = first(one, "b");
    await untilItWaits(one);
    // The other waits for the commit of the one that was ended.
    await Promise.all([
      crossing.then(() => one.query("commit")),
      first(two, "a").then(() => two.query("commit")),
    ]);
  }

  const insert = (writer: Writer, key: string) =>
    writer.query("insert into public.work (recipient, key) values (7, $1), (8, $1)", [key]);

  test("two sessions that write each other's key both commit; the dropped notification is recorded", async () => {
    await define();
    await crossKeys(insert);
    expect(await listErrors()).toEqual([
      { rule: "told", sqlstate: "40P01", errors: 1, silenced: 2 },
    ]);
    expect(await countTold()).toBe(4);
  });

  test("two sessions that notify() with each other's key both commit; the dropped notification is recorded", async () => {
    await crossKeys((writer, key) =>
      writer.query("select bellwire.notify('7', 'work.done', dedupe_key => $1)", [key]),
    );
    expect(await listErrors()).toEqual([
      { rule: "notify()", sqlstate: "40P01", errors: 1, silenced: 1 },
    ]);
    expect(await countTold()).toBe(2);
  });

  test("with on_error => 'raise' the same deadlock fails one write, as the rule asks", async () => {
    await define(TELL, { onError: "raise" });
    await expect(crossKeys(insert)).rejects.toMatchObject({ code: "40P01" });
    expect(await listErrors()).toEqual([]);
  });

  test("that another transaction holds for longer than lock_timeout fails no write, and is recorded", async () => {
    await define();
    const [one, two] = [await openWriter(), await openWriter()];
    await insert(one, "a");
    await one.query("select bellwire.notify('9', 'by.hand', dedupe_key => 'a')");
    await two.query("set local lock_timeout = '50ms'");
    await insert(two, "a");
    await two.query("select bellwire.notify('9', 'by.hand', dedupe_key => 'a')");
    await two.query("commit");
    await one.query("commit");
    expect(await listErrors()).toEqual([
      { rule: "notify()", sqlstate: "55P03", errors: 1, silenced: 1 },
      { rule: "told", sqlstate: "55P03", errors: 1, silenced: 2 },
    ]);
    expect(await query("select count(*)::int as n from public.work")).toEqual([{ n: 4 }]);
  });

  test("in a deadlock with a row lock of the application one of the two fails, and it may be the application's write", async () => {
    await define();
    await query("create table public.rows (id int); insert into public.rows values (1)");
    onTestFinished(async () => {
      await query("drop table public.rows");
    });
    const [one, two] = [await openWriter(), await openWriter()];
    // The session that has waited longest finds the deadlock; here that is the application's own statement.
    await one.query("set deadlock_timeout = '2s'");
    await two.query("set deadlock_timeout = '60s'");
    await insert(one, "a");
    await two.query("update public.rows set id = 1");
    const failing = expect(one.query("update public.rows set id = 1")).rejects.toMatchObject({
      code: "40P01",
    });
    await untilItWaits(one);
    await insert(two, "a");
    await two.query("commit");
    await failing;
    expect(await listErrors()).toEqual([]);
    expect(await countTold()).toBe(2);
  });

  describe.each(["repeatable read", "serializable"])(
    "that was committed after the snapshot, under %s,",
    (level) => {
      test("is a duplicate: the statement's other rows are told, and nothing is recorded", async () => {
        await define();
        const writer = await openWriter(level);
        await query("insert into public.work (recipient, key) values (3, 'k')");
        await writer.query(
          "insert into public.work (recipient, key) select r, 'k' from generate_series(1, 5) r",
        );
        await writer.query("commit");
        expect(await listErrors()).toEqual([]);
        expect(await query("select count(*)::int as n from public.work")).toEqual([{ n: 6 }]);
        expect(await countTold()).toBe(5);
      });

      test("is a duplicate for notify() as well", async () => {
        const writer = await openWriter(level);
        await query("select bellwire.notify('7', 'work.done', dedupe_key => 'k')");
        const { rows } = await writer.query(
          "select bellwire.notify('7', 'work.done', dedupe_key => 'k') as id",
        );
        await writer.query("commit");
        expect(rows).toEqual([{ id: null }]);
      });

      test("is a serialization failure with on_error => 'raise'", async () => {
        await define(TELL, { onError: "raise" });
        const writer = await openWriter(level);
        await query("insert into public.work (recipient, key) values (7, 'k')");
        await expect(
          writer.query("insert into public.work (recipient, key) values (7, 'k')"),
        ).rejects.toMatchObject({ code: "40001" });
      });
    },
  );

  test("under serializable a serialization failure of the query is passed on", async () => {
    await query(
      "create table public.other (id int); insert into public.other values (1); grant select on public.other to bellwire_rules",
    );
    onTestFinished(async () => {
      await query("drop table public.other");
    });
    await define(`${TELL} where exists (select from public.other)`);
    // Each reads a row that the other writes. The second finds the conflict while its rule reads.
    const [one, two] = [await openWriter("serializable"), await openWriter("serializable")];
    await two.query("select * from public.work");
    await one.query("update public.other set id = 2");
    await one.query("insert into public.work (recipient, key) values (1, 'a')");
    await one.query("select * from public.work");
    await one.query("commit");
    await expect(
      two
        .query("insert into public.work (recipient, key) values (2, 'b')")
        .then(() => two.query("commit")),
    ).rejects.toMatchObject({ code: "40001" });
    expect(await query("select recipient_id from bellwire.notifications")).toEqual([
      { recipient_id: "1" },
    ]);
    expect(await listErrors()).toEqual([]);
  });
});
