import { beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from "vitest";
import type { Cursor } from "../../src/changes/cursor.ts";
import { createChangesReader } from "../../src/db/changes-reader.ts";
import { createInbox } from "../../src/db/inbox.ts";
import { createKnownCounts } from "../../src/db/known-counts.ts";
import { createPool } from "../../src/db/pool.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openReplays } from "../support/replays.ts";

/** Enough that the counts are kept. */
const MANY = 1200;

const CHANGES: [what: string, sql: string][] = [
  ["a new one", "select bellwire.notify('1', 'test')"],
  ["one that is read", "update bellwire.notifications set read_at = now() where id = any($1)"],
  ["one that is seen", "update bellwire.notifications set seen_at = now() where id = any($1)"],
  [
    "one that is archived",
    "update bellwire.notifications set archived_at = now() where id = any($1)",
  ],
  ["one that is deleted", "delete from bellwire.notifications where id = any($1)"],
  [
    "one that is given away",
    "update bellwire.notifications set recipient_id = '2' where id = any($1)",
  ],
  ["a mark-all", "select bellwire.mark_all('seen', '1')"],
  ["a prune", "select bellwire.prune(clock_timestamp())"],
  [
    "a prune that also forgets the removals",
    "do $$ begin for i in 1 .. 5 loop perform bellwire.prune(clock_timestamp()); end loop; end $$",
  ],
  ["a truncate", "truncate bellwire.notifications"],
];

describe.each(inject("servers"))("on $name, the counts of many", (server) => {
  let database: TestDatabase;
  let pool: ReturnType<typeof createPool>;
  let start: Cursor;
  let ids: string[];

  beforeAll(async () => {
    database = await createDatabase(server);
    pool = createPool({ url: database.url, size: 3, log: createLogger("silent") });
    await database.query("update bellwire.retention set minimum_age = '0'");
    return async () => {
      await pool.close();
      await database.close();
    };
  });

  beforeEach(async () => {
    await database.query("truncate bellwire.notifications");
    const rows = await database.query<{ id: string }>(
      `insert into bellwire.notifications (recipient_id, type)
       select '1', 'test' from generate_series(1, ${MANY}) returning id`,
    );
    ids = rows.map(({ id }) => id);
    start = await createChangesReader(pool, 60_000).now();
  });

  /** The three ways to the counts. They share what they know, as in the service. */
  function open() {
    const knownCounts = createKnownCounts();
    const inbox = createInbox(pool, 60_000, knownCounts);
    onTestFinished(inbox.close);
    const read = openReplays({ pool, knownEpoch: () => start.epoch, knownCounts });
    const list = { recipientId: "1", limit: 1, filter: "all", maxBytes: 1e6 } as const;
    const ways = {
      count: () => inbox.counts("1"),
      list: () => inbox.list({ ...list, position: start }),
      poll: () => read(start, { recipientId: "1", bytes: 0 }),
    };
    const readAll = async () => {
      const found = [];
      for (const way of [ways.count, ways.list, ways.poll, ways.count]) found.push(await way());
      return found.map(({ unread, unseen }) => ({ unread, unseen }));
    };
    return { knownCounts, readAll };
  }

  async function truth() {
    const [row] = await database.query<{ unread: number; unseen: number }>(
      `select count(*)::integer as unread, (count(*) filter (where seen_at is null))::integer as unseen
         from bellwire.notifications
        where recipient_id = '1' and read_at is null and archived_at is null`,
    );
    return row;
  }

  const run = (by: { query(sql: string, params: unknown[]): Promise<unknown> }, sql: string) =>
    by.query(sql, sql.includes("$1") ? [[ids[7]]] : []);

  test.each(CHANGES)("are right after %s, whichever way they are read", async (_, sql) => {
    const { readAll } = open();
    expect(await readAll()).toEqual(Array(4).fill({ unread: MANY, unseen: MANY }));
    await run(database, sql);
    expect(await readAll()).toEqual(Array(4).fill(await truth()));
    expect(await truth()).not.toEqual({ unread: MANY, unseen: MANY });
  });

  test.each(CHANGES.slice(0, 7))(
    "are right after %s that commits late or not at all",
    async (_, sql) => {
      const { readAll } = open();
      const [late, never] = await Promise.all([database.connect(), database.connect()]);
      for (const client of [late, never]) await client.query("begin; select pg_current_xact_id()");
      await database.query("select bellwire.notify('2', 'test')"); // so that positions are past both
      await run(late, sql);
      expect(await readAll()).toEqual(Array(4).fill({ unread: MANY, unseen: MANY }));
      await late.query("commit");
      await run(never, sql);
      const counts = Array(4).fill(await truth());
      expect(await readAll()).toEqual(counts);
      await never.query("rollback");
      expect(await readAll()).toEqual(counts);
      await Promise.all([late.end(), never.end()]);
    },
  );

  /** Rows that no trigger has seen show which counts were not counted again. */
  async function addUnseen(): Promise<void> {
    await database.query(
      "insert into bellwire.notifications (recipient_id, type, created_xid, changed_xid) values ('1', 'test', '3', '3')",
    );
  }

  test("are not counted again while nothing changes, until they are forgotten", async () => {
    const { readAll, knownCounts } = open();
    await readAll();
    await addUnseen();
    const counts = { unread: MANY, unseen: MANY };
    expect(await readAll()).toEqual(Array(4).fill(counts));
    await database.query("select bellwire.notify('2', 'test')");
    expect(await readAll()).toEqual(Array(4).fill(counts));
    knownCounts.forget();
    expect(await readAll()).toEqual(Array(4).fill({ unread: MANY + 1, unseen: MANY + 1 }));
  });

  test.each([
    ["of another history", "'00000000'", "pg_current_snapshot()"],
    ["ahead of the server", "bellwire.epoch()", "'3:9000000:'"],
    ["unknown", "bellwire.epoch()", "null"],
  ])("are counted if those that are known are %s", async (_, epoch, snapshot) => {
    const [head] = await database.query(
      `select unread::integer, unseen::integer
         from bellwire.changes_for(
                array[pg_current_snapshot()], array['1'],
                counted => array[${snapshot}]::pg_snapshot[],
                counted_in => ${epoch}
              )`,
    );
    expect(head).toEqual({ unread: MANY, unseen: MANY });
  });
});
