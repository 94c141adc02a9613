import { beforeEach, describe, expect, inject, onTestFinished, test } from "vitest";
import { checkTransactions } from "../../../src/doctor/database/transactions.ts";
import { startForwarder } from "../../faults/support/forwarder.ts";
import { createMigrated, startPostgres } from "../../faults/support/postgres.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { AS_SERVICE, createLogin, examine, ofCheck, withLogin } from "./support.ts";

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createDatabase(server);
    onTestFinished(database.close);
  });

  const look = async (check: string) => ofCheck(await examine(database.url), check);
  const sqlOf = (fix: string) =>
    /(select bellwire[^;]*;|create index[^;]*;|alter table[^;]*;)/.exec(fix)?.[1] ?? "";

  test("wake-ups were suspended for good", async () => {
    await database.query("select bellwire.suspend_wakeups()");
    const [finding] = await look("wakeups");
    expect(finding).toMatchObject({ level: "look", seen: expect.stringMatching(/^wake-ups are/) });
    expect(await look("listen")).toMatchObject(
      [{ level: "well", seen: /not tested/ }].map((f) => ({
        ...f,
        seen: expect.stringMatching(f.seen),
      })),
    );
    await database.query(sqlOf((finding as { fix: string }).fix));
    expect(await look("wakeups")).toMatchObject([{ level: "well" }]);
  });

  test("a transaction that wrote stays open", async () => {
    const client = await database.connect();
    await client.query("begin; select pg_current_xact_id()");
    const { rows } = await client.query("select pg_backend_pid() as pid");
    const looker = await database.connect();
    const found = await checkTransactions(looker, { longSeconds: 0 });
    expect(found).toContainEqual(
      expect.objectContaining({
        check: "transactions",
        level: "look",
        fix: expect.stringContaining(`select pg_terminate_backend(${rows[0].pid});`),
      }),
    );
    // Five minutes are long.
    expect((await look("transactions")).every(({ level }) => level === "well")).toBe(true);
    await client.query("rollback");
    expect(JSON.stringify(await checkTransactions(looker, { longSeconds: 0 }))).not.toContain(
      `pid ${rows[0].pid},`,
    );
  });

  test("a prepared transaction that nobody ends", async () => {
    const name = `forgotten ${Math.random()}`;
    await database.query(`begin; create table public.made (); prepare transaction '${name}'`);
    const looker = await database.connect();
    const own = async () =>
      (await checkTransactions(looker, { longSeconds: 0 })).filter(({ seen }) =>
        seen.includes(name),
      );
    const [finding] = await own();
    expect(finding).toMatchObject({ check: "prepared_transactions", level: "look" });
    const { fix } = finding as { fix: string };
    await database.query(/rollback prepared '.*?';/.exec(fix)?.[0] ?? "");
    expect(await own()).toEqual([]);
  });

  test("notifications are older than RETENTION_DAYS, and nothing prunes them", async () => {
    const add = (days: number) =>
      database.query(
        "insert into bellwire.notifications (recipient_id, type, created_at) values ('1', 'x', now() - make_interval(days => $1))",
        [days],
      );
    await add(91); // the cron job comes today
    expect(await look("retention")).toEqual([]);
    await database.query("truncate bellwire.notifications");
    await add(131);
    expect(await look("retention")).toMatchObject([
      { level: "look", seen: "the oldest notification is 131 days old, and RETENTION_DAYS is 90" },
    ]);
    const user = await createLogin(database, AS_SERVICE);
    expect(ofCheck(await examine(withLogin(database.url, user)), "retention")).toHaveLength(1);
  });

  test("autovacuum is off", async () => {
    // As on the servers of the tests.
    expect(await look("vacuum")).toMatchObject([
      { level: "look", seen: "autovacuum is off on this server" },
    ]);
  });

  test("autovacuum is disabled for a table", async () => {
    await database.query("alter table bellwire.notifications set (autovacuum_enabled = false)");
    const [, finding] = await look("vacuum");
    expect(finding).toMatchObject({ seen: "autovacuum is disabled for bellwire.notifications" });
    await database.query(sqlOf((finding as { fix: string }).fix));
    expect(await look("vacuum")).toHaveLength(1);
  });

  test("a table has more dead rows than others", async () => {
    await database.query(`
      insert into bellwire.notifications (recipient_id, type) select '1', 'x' from generate_series(1, 110000);
      delete from bellwire.notifications`);
    await expect
      .poll(async () => (await look("vacuum")).map(({ seen }) => seen))
      .toContainEqual(
        expect.stringMatching(/^bellwire.notifications has 1[01]\d,000 dead rows, and/),
      );
  });

  test("the log of rule errors has many rows", async () => {
    await database.query(
      "insert into bellwire.rule_error_log (rule, sqlstate, message) select 'x', '42501', n::text from generate_series(1, 10001) n",
    );
    await expect
      .poll(() => look("rule_errors"))
      .toMatchObject([{ level: "look", seen: "bellwire.rule_error_log has 10,001 rows" }]);
  });

  test("a rule reads a whole large table, because an index is missing", async () => {
    await database.query(`
      create table public.owners (id int, name text);
      insert into public.owners select n, 'x' from generate_series(1, 20000) n;
      analyze public.owners;
      grant select on public.owners to bellwire_rules;
      create table public.things (owner_id int);
      select bellwire.define_rule('told', 'public.things', 'insert', $$
        select n.owner_id as recipient_id, 'x' as type, o.name as title
          from new_rows n join public.owners o on o.id = n.owner_id
      $$)`);
    const [finding] = await look("rule_no_index");
    expect(finding).toMatchObject({
      level: "look",
      seen: "rule told reads all of public.owners (about 20,000 rows) at each write to public.things",
      fix: "As the owner of the table: create index concurrently on public.owners (id);",
    });
    await database.query(sqlOf((finding as { fix: string }).fix));
    expect(await look("rule_no_index")).toEqual([]);
  });

  test("a trigger calls bellwire.notify() without the right to", async () => {
    const user = await createLogin(database);
    await database.query(`
      create table public.orders (id int);
      grant insert on public.orders to ${user};
      create function public.orders_tell() returns trigger language plpgsql as
        $$ begin perform bellwire.notify('1', 'order.made'); return null; end $$;
      create trigger orders_tell after insert on public.orders for each row execute function public.orders_tell()`);
    const [finding] = await look("trigger_rights");
    expect(finding).toMatchObject({
      level: "broken",
      seen: `trigger orders_tell on public.orders calls bellwire.notify(), and ${user} may not`,
    });
    await database.query((finding as { fix: string }).fix.replace(/^.*?: /, ""));
    expect(await look("trigger_rights")).toEqual([]);
  });

  test("row level security hides rows from rules", async () => {
    await database.query("alter table public.tasks enable row level security");
    expect(await look("row_security")).toMatchObject([
      { level: "look", seen: expect.stringMatching(/^row level security of public.tasks hides/) },
    ]);
    const user = await createLogin(database, AS_SERVICE);
    expect(ofCheck(await examine(withLogin(database.url, user)), "row_security")).toHaveLength(1);
  });
});

test.concurrent("another session holds a lock that a check needs: the others are made", async ({
  onTestFinished,
}) => {
  const database = await createDatabase();
  onTestFinished(database.close);
  const blocker = await database.connect();
  await blocker.query("begin; lock table bellwire.notifications in access exclusive mode");
  const startedAt = performance.now();
  const findings = await examine(database.url);
  expect(performance.now() - startedAt).toBeLessThan(15_000);
  expect(ofCheck(findings, "tables")).toMatchObject([
    { level: "look", seen: expect.stringMatching(/^not checked, because it took too long/) },
  ]);
  expect(ofCheck(findings, "wakeups")).toMatchObject([{ level: "well" }]);
  await blocker.query("rollback");
});

test.concurrent("a migration locks a table that rules read", async ({ onTestFinished }) => {
  const database = await createDatabase();
  onTestFinished(database.close);
  const blocker = await database.connect();
  await blocker.query("begin; lock table public.tasks in access exclusive mode");
  const startedAt = performance.now();
  const findings = await examine(database.url);
  expect(performance.now() - startedAt).toBeLessThan(20_000);
  expect(findings.at(-1)).toMatchObject({
    check: "rules",
    level: "look",
    seen: expect.stringMatching(/^not checked, nor what comes after it/),
  });
  expect(ofCheck(findings, "wakeups")).toMatchObject([{ level: "well" }]);
  await blocker.query("rollback");
});

test.concurrent("the database stops answering in the middle", async ({ onTestFinished }) => {
  const database = await createDatabase();
  onTestFinished(database.close);
  const url = new URL(database.url);
  const network = await startForwarder(Number(url.port));
  url.port = String(network.port);
  const blocker = await database.connect();
  await blocker.query("begin; lock table bellwire.notifications in access exclusive mode");
  const startedAt = performance.now();
  const examined = examine(url.href);
  await expect
    .poll(() =>
      database.query(
        "select from pg_stat_activity where datname = current_database() and application_name = 'bellwire doctor' and wait_event_type = 'Lock'",
      ),
    )
    .toHaveLength(1);
  network.swallow();
  const findings = await examined;
  expect(performance.now() - startedAt).toBeLessThan(20_000);
  expect(findings.at(-1)).toMatchObject({
    check: "schema", // it prints functions that read the table
    level: "look",
    seen: expect.stringMatching(/^not checked, nor what comes after it: the database stopped/),
  });
  network.heal();
  await blocker.query("rollback");
});

test("a session keeps the queue of notifications from emptying", async () => {
  const postgres = await startPostgres({ settings: { max_notify_queue_pages: 64 } });
  const url = await createMigrated(postgres);
  const { default: pg } = await import("pg");
  const holder = new pg.Client({ connectionString: url });
  await holder.connect();
  onTestFinished(() => holder.end());
  holder.on("error", () => {}); // it is ended
  await holder.query("listen anything");
  await holder.query("begin");
  const { rows } = await holder.query("select pg_backend_pid() as pid");
  await postgres.query(
    "select count(pg_notify('anything', repeat('x', 7000) || n)) from generate_series(1, 40) n",
    [],
    "bellwire",
  );
  const [finding] = ofCheck(await examine(url), "notify_queue");
  expect(finding).toMatchObject({
    level: "broken",
    seen: expect.stringMatching(new RegExp(`^pid ${rows[0].pid}, role postgres.*keeps the queue`)),
    fix: expect.stringContaining(`select pg_terminate_backend(${rows[0].pid});`),
  });
  await postgres.query(`select pg_terminate_backend(${rows[0].pid})`);
  await expect
    .poll(async () => ofCheck(await examine(url), "wakeups"))
    .toMatchObject([{ level: "well" }]);
});
