import type pg from "pg";
import { beforeAll, beforeEach, describe, expect, inject, test, vi } from "vitest";
import type { Page } from "../../src/changes/changes.ts";
import type { Cursor } from "../../src/changes/cursor.ts";
import { createChangesReader } from "../../src/db/changes-reader.ts";
import { createFeedSession, type FeedSession } from "../../src/db/feed-session.ts";
import { asService, createPool } from "../../src/db/pool.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { createRandom, type Random, seeds } from "../support/random.ts";

const log = createLogger("silent");
const STEPS = 300;

describe.each(inject("servers"))("on $name, the feed's session", (server) => {
  let database: TestDatabase;
  let reader: ReturnType<typeof createChangesReader>;
  let session: FeedSession;
  let start: Cursor;

  beforeAll(async () => {
    database = await createDatabase(server);
    const pool = createPool({ url: asService(database.url), size: 2, log });
    reader = createChangesReader(pool, 60_000);
    session = createFeedSession({ url: asService(database.url), maxEventBytes: 60_000, log });
    return async () => {
      session.close();
      await pool.close();
      await database.close();
    };
  });

  beforeEach(async () => {
    start = await reader.now();
    await openedFrom(start);
  });

  /** Waits until the session reads from there. */
  async function openedFrom(from: Cursor): Promise<void> {
    session.renew();
    await vi.waitFor(async () => expect(await session.readNewRows(from)).toBeDefined());
  }

  const notify = (recipientId: string, more = "") =>
    database.query(`select bellwire.notify('${recipientId}', 'test', title => 'A title'${more})`);

  /** Both reads see the same, but transactions of other databases go on between them. */
  const comparable = ({ moment, suspendedMs, upto, present, ...page }: Page) => ({
    ...page,
    upto: upto.xmax,
    present: present.xmax,
  });

  async function expectSame(from: Cursor): Promise<Page> {
    const read = await session.readNewRows(from);
    expect(read && comparable(read)).toEqual(comparable(await reader.readAll(from)));
    return read as Page;
  }

  test("reads nothing, and new rows in the order of their ids, as changes_since() does", async () => {
    expect((await expectSame(start)).changes).toEqual([]);
    const late = await database.connect();
    await late.query("begin; select bellwire.notify('1', 'test', body => 'early id, late commit')");
    await notify("2", `, data => '{"n": 1.50}', link => '/x', actor_id => '3'`);
    await notify("1");
    const page = await expectSame(start);
    expect(page.changes.map(({ recipientId }) => recipientId)).toEqual(["2", "1"]);
    const from = { epoch: page.epoch, at: page.upto };
    expect((await expectSame(from)).changes).toEqual([]);
    await late.query("commit");
    await notify("2");
    expect((await expectSame(from)).changes.map(({ body }) => body)).toEqual([
      "early id, late commit",
      null,
    ]);
  });

  test.each<[string, string]>([
    ["a changed row", "update bellwire.notifications set read_at = now()"],
    ...["seen_at", "read_at", "archived_at"].map((mark): [string, string] => [
      `a new row with ${mark}`,
      `insert into bellwire.notifications (recipient_id, type, ${mark}) values ('1', 'test', now())`,
    ]),
    ["a removed row", "delete from bellwire.notifications"],
    ["a row that was moved", "update bellwire.notifications set recipient_id = '2'"],
    ["a mark-all", "select bellwire.mark_all('seen', '1')"],
    ["a revocation", "select bellwire.revoke('1')"],
    ["pruned rows", "update bellwire.retention set pruned_xid = pg_current_xact_id()"],
    ["a long text", `select bellwire.notify('1', 'test', title => repeat('ä', 2100))`],
    [
      "data that is long as text",
      `select bellwire.notify('1', 'test', data => jsonb_build_object('n', 1e5000))`,
    ],
    ["2,000 rows", "select bellwire.notify(n::text, 'test') from generate_series(1, 2000) n"],
  ])("leaves %s to changes_since()", async (_, change) => {
    for (let i = 0; i < 12; i++) await notify("1");
    const from = await reader.now();
    expect(await session.readNewRows(from)).toBeDefined();
    await database.query(change);
    expect(await session.readNewRows(from)).toBeUndefined();
    await database.query("update bellwire.retention set pruned_xid = '3'");
  });

  test.each([
    ["changed", "update bellwire.notifications set read_at = now() where recipient_id = 'whole'"],
    [
      "long",
      "select bellwire.notify('whole', 'test', title => 'A title', body => repeat('x', 5000))",
    ],
    [
      "marked",
      "insert into bellwire.notifications (recipient_id, type, title, read_at) values ('whole', 'test', 'A title', now())",
    ],
    ["long as text", `select bellwire.notify('whole', 'test', data => '{"n": 1e5000}')`],
  ])("fetches no text of a row that is %s", async (_, change) => {
    await database.query("select bellwire.notify('whole', 'test', title => 'A title')");
    const [now] = await database.query("select pg_current_snapshot()::text as at");
    await database.query(change);
    const rows = await database.query(
      "select is_plain, type, title, body, data from bellwire.new_rows_since($1, 200, 4096)",
      [now?.at],
    );
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows)
      expect(row).toEqual({ is_plain: false, type: null, title: null, body: null, data: null });
  });

  test("leaves what a transaction that was in progress removed to changes_since()", async () => {
    await notify("1");
    const writer = await database.connect();
    await writer.query("begin; delete from bellwire.notifications");
    await notify("2");
    const { upto, epoch } = await expectSame(start);
    const from = { epoch, at: upto };
    await notify("2");
    // Removals, marks and revocations that the position has seen do not matter, although an older transaction is open.
    await database.query("select bellwire.revoke('7')");
    const later = { epoch, at: (await reader.readAll(from)).upto };
    await notify("2");
    expect((await expectSame(later)).changes).toHaveLength(1);
    await writer.query("commit");
    expect(await session.readNewRows(later)).toBeUndefined();
  });

  test("leaves an unfinished read, and a position of another history, to changes_since()", async () => {
    const reading = { upto: start.at, place: { stage: "new", id: 1n } } as const;
    expect(await session.readNewRows({ ...start, reading })).toBeUndefined();
    expect(await session.readNewRows({ ...start, epoch: "00000000" })).toBeUndefined();
    const ahead = { xmax: start.at.xmax + 1_000_000n, inProgress: [] };
    expect(await session.readNewRows({ ...start, at: ahead })).toBeUndefined();
  });

  test.each([
    ["rewritten", "vacuum full bellwire.notifications"],
    ["emptied", "truncate bellwire.notifications"],
  ])("ends when the table was %s, and a new one knows the new history", async (_, change) => {
    await database.query(change);
    expect(await session.readNewRows(start)).toBeUndefined();
    const page = await reader.readAll(start);
    expect(page.isForeign).toBe(true);
    await openedFrom({ epoch: page.epoch, at: page.upto });
  });

  test("reads nothing when another table took the name", async () => {
    await database.query(`
      begin;
      alter table bellwire.notifications rename to notifications_before;
      create table bellwire.notifications (like bellwire.notifications_before including all);
      grant select on bellwire.notifications to bellwire_service;
      commit`);
    expect(await session.readNewRows(start)).toBeUndefined();
    await database.query(`
      begin;
      drop table bellwire.notifications;
      alter table bellwire.notifications_before rename to notifications;
      commit`);
  });

  test("is given up when it does not answer for a while", { timeout: 5000 }, async () => {
    const blocker = await database.connect();
    await blocker.query("begin; lock table bellwire.notifications");
    expect(await session.readNewRows(start)).toBeUndefined();
    await blocker.query("rollback");
  });

  test("is opened again after it was cut", async () => {
    await database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bellwire feed' and datname = current_database()",
    );
    expect(await session.readNewRows(start)).toBeUndefined();
    await openedFrom(start);
    await notify("1");
    expect((await expectSame(start)).changes).toHaveLength(1);
  });

  test.each(seeds())("sees what changes_since() sees, whatever happens, seed %i", async (seed) => {
    const random = createRandom(seed);
    const writers: pg.Client[] = [];
    for (let i = 0; i < 4; i++) writers.push(await database.connect());
    const open = new Set<pg.Client>();
    const positions = [start];
    let ordinary = 0;
    for (let step = 0; step < STEPS; step++) {
      await write(random, random.pick(writers), open);
      const from = random.pick(positions.slice(-5));
      const read = await session.readNewRows(from);
      const page = await reader.readAll(from);
      if (read) expect(comparable(read)).toEqual(comparable(page));
      if (read && read.changes.length > 0) ordinary++;
      if (page.isLast) positions.push({ epoch: page.epoch, at: page.upto });
    }
    for (const writer of writers) await writer.end();
    expect(ordinary).toBeGreaterThan(STEPS / 10);
  });
});

/** One step of a transaction. Most are new rows. */
async function write(random: Random, writer: pg.Client, open: Set<pg.Client>): Promise<void> {
  if (!open.has(writer)) {
    await writer.query("begin");
    open.add(writer);
  }
  const recipient = `${random.between(1, 3)}`;
  const one = `id = (select id from bellwire.notifications where recipient_id = '${recipient}' order by random() limit 1 for update skip locked)`;
  const insert = `select bellwire.notify('${recipient}', 'test', body => repeat('x', ${random.pick([5, 5, 5, 5000])}))`;
  const change = random.pick([
    ...Array(12).fill(insert),
    `update bellwire.notifications set read_at = now() where ${one}`,
    `delete from bellwire.notifications where ${one}`,
    `update bellwire.notifications set recipient_id = '9' where ${one}`,
  ]);
  await writer.query(change);
  if (random.between(0, 2) > 0) {
    await writer.query(random.pick(["commit", "commit", "rollback"]));
    open.delete(writer);
  }
}
