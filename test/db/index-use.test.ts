import type pg from "pg";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { SETTINGS } from "../../src/db/feed-session.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { vacuumNotifications } from "../support/vacuum.ts";

/**
 * 100,000 rows of 1,000 transactions. The first 20,000 belong to one recipient, the others to 500. Only the last 2,000 are unread,
 * and one in a hundred is archived.
 */
const SEED = `
  insert into bellwire.notifications
         (recipient_id, type, title, dedupe_key, read_at, archived_at, created_xid, changed_xid)
  select case when n <= 20000 then '7' else (n % 500)::text end,
         'test',
         'A title of a few words',
         case when n % 10 = 0 then 'key ' || n end,
         case when n <= 98000 then now() end,
         case when n % 50000 < 500 then now() end,
         (3 + n / 100)::text::xid8,
         (3 + n / 100)::text::xid8
    from generate_series(1, 100000) n`;

/** Each index, its purpose, and a query with that purpose. The inbox's queries are in inbox-plans.test.ts. */
const USES: [index: string, use: string, query: string][] = [
  ["pkey", "one notification", "select * from bellwire.notifications where id = 50000"],
  ["pkey", "pruning", "select bellwire.prune('2000-01-01')"],
  [
    "changed_xid_idx",
    "the feed",
    "select count(*) from bellwire.changes_since('984:984:', page_size => 10)",
  ],
  [
    "changed_xid_idx",
    "rows of another history",
    "select from bellwire.notifications where changed_xid >= '5000'",
  ],
  [
    "recipient_id_changed_xid_idx",
    "a replay",
    "select count(*) from bellwire.changes_for(array['504:504:']::pg_snapshot[], array['7'], page_size => 10)",
  ],
  [
    "created_xid_idx",
    "the newest position",
    "select created_xid from bellwire.notifications where created_xid > changed_xid order by created_xid desc limit 1",
  ],
  [
    "recipient_id_id_read_idx",
    "the inbox",
    `select * from bellwire.notifications
      where (recipient_id, id) < ('7', 90000) and recipient_id >= '7' and archived_at is null and read_at is not null
      order by recipient_id desc, id desc limit 21`,
  ],
  [
    "recipient_id_id_unread_idx",
    "the badge",
    "select count(*) from bellwire.notifications where recipient_id = '7' and read_at is null and archived_at is null",
  ],
  [
    "recipient_id_id_archived_idx",
    "the archived",
    `select * from bellwire.notifications
      where (recipient_id, id) < ('7', 90000) and recipient_id >= '7' and archived_at is not null
      order by recipient_id desc, id desc limit 21`,
  ],
  [
    "recipient_id_dedupe_key_type_idx",
    "not again",
    "select bellwire.notify('0', 'test', dedupe_key => 'key 50000')",
  ],
];

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    database = await createDatabase(server);
    await database.query(SEED);
    await vacuumNotifications(database);
    client = await database.connect();
    return () => database.close();
  });

  /** How many blocks the query and its functions read, cached or not. `before` runs first, and both are rolled back. */
  async function blocksOf(query: string, before = ""): Promise<number> {
    await client.query(`begin; ${before}`);
    const { rows } = await client.query(`explain (analyze, buffers, format json) ${query}`);
    await client.query("rollback");
    const plan = rows[0]["QUERY PLAN"][0].Plan;
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  }

  /** How often each index was scanned in this session's query. */
  async function scansOf(query: string): Promise<Map<string, number>> {
    const before = await countScans();
    await client.query(`begin; ${query}; rollback`);
    const after = await countScans();
    return new Map([...after].map(([index, scans]) => [index, scans - (before.get(index) ?? 0)]));
  }

  async function countScans(): Promise<Map<string, number>> {
    await client.query("select pg_stat_force_next_flush()");
    const { rows } = await client.query(
      `select indexrelname as index, idx_scan::integer as scans
         from pg_stat_user_indexes
        where relid = 'bellwire.notifications'::regclass`,
    );
    return new Map(rows.map(({ index, scans }) => [index, scans]));
  }

  test("every index of bellwire.notifications has a purpose in this file", async () => {
    const used = new Set(USES.map(([index]) => `notifications_${index}`));
    expect([...(await countScans()).keys()].toSorted()).toEqual([...used].toSorted());
  });

  test.each(USES)("%s finds %s", async (index, _, query) => {
    expect((await scansOf(query)).get(`notifications_${index}`)).toBeGreaterThan(0);
  });

  // `on conflict` needs the dedupe key's index, so the query cannot run without it.
  test.each(USES.filter(([index]) => !index.includes("dedupe")))(
    "without %s, %s costs many times as much",
    async (index, _, query) => {
      await blocksOf(query); // catalog reads, once a session
      const kept = await blocksOf(query);
      const name = `notifications_${index}`;
      const without = await blocksOf(
        query,
        index === "pkey"
          ? `alter table bellwire.notifications drop constraint ${name}`
          : `drop index bellwire.${name}`,
      );
      expect(without / kept).toBeGreaterThan(5);
    },
  );

  test("the feed's read is one plan, without a call of a SQL function", async () => {
    const { rows } = await client.query(
      "explain (verbose, format json) select * from bellwire.new_rows_since(pg_current_snapshot(), 200, 4096)",
    );
    expect(JSON.stringify(rows)).not.toMatch(/bellwire\.\w+\(|"Function Name":"(?!pg_)/);
  });

  test.each([
    // After an import or CLUSTER the rows lie in the order of another index, so that walking that index looks cheap.
    ["in its recipients' order", "to_char(n / 200, '000')", "3 + n % 400"],
    ["in its transactions' order", "n % 500", "3 + n / 250"],
  ])("the feed does not walk a table %s", async (_, recipient, xid) => {
    await database.query(`
      truncate bellwire.notifications;
      insert into bellwire.notifications (recipient_id, type, body, created_xid, changed_xid)
      select (${recipient})::text, 'test', repeat('a body ', 50), xid::text::xid8, xid::text::xid8
        from generate_series(1, 100000) n
       cross join lateral (select ${xid} as xid) x`);
    await vacuumNotifications(database);
    // Prepared with parameters, because for constants the planner would look up how many rows are newer.
    await client.query(`
      prepare read_few(pg_snapshot, integer) as select * from bellwire.new_rows_since($1, $2, 4096);
      prepare read_all(pg_snapshot, integer) as select * from bellwire.changes_since($1, page_size => $2)`);
    onTestFinished(async () => void (await client.query("deallocate all")));
    for (const name of ["read_few", "read_all"]) {
      const read = `execute ${name}('500:510:502,505', 200)`;
      await blocksOf(read, SETTINGS);
      expect(await blocksOf(read, SETTINGS)).toBeLessThan(100);
    }
  });
});
