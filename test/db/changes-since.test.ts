import type pg from "pg";
import { afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";

/** The columns that these tests use of a row of bellwire.changes_since() or changes_for(), in the head or in the page. */
type Row = {
  snapshot: string;
  remaining: string;
  revoked: string[];
  unread: string | null;
  unseen: string | null;
  stage: number | null;
  id: string | null;
  recipient_id: string | null;
  read_at: string | null;
};

const [REMOVED, NEW, CHANGED] = [0, 1, 2];

type Read = {
  since: string;
  recipient?: string | undefined;
  upto?: string;
  afterStage?: number;
  afterId?: string;
  pageSize?: number;
};

/** One page, and where the next read continues. */
type Found = {
  rows: Row[];
  snapshot: string;
  revoked: string[];
  remaining: number;
  counts: (string | null)[];
  removed: string[];
  told: string[];
  changed: string[];
};

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    return () => database.close();
  });

  afterEach(async () => {
    // Ends the transactions that a failed test left open.
    await query(`
      select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid();
      truncate bellwire.notifications, bellwire.removals, bellwire.mark_alls, bellwire.preferences, bellwire.revocations, bellwire.rule_error_log;
    `);
  });

  async function now(): Promise<string> {
    const [row] = await query<{ at: string }>("select pg_current_snapshot()::text as at");
    return row?.at ?? "";
  }

  /** One page of a read. */
  async function read(options: Read, by: Queryable = { query }): Promise<Found> {
    const { since, recipient, upto, afterStage = -1, afterId = "0", pageSize = 1000 } = options;
    const rows = rowsOf<Row>(
      recipient === undefined
        ? await by.query("select * from bellwire.changes_since($1, $2, $3, $4, $5)", [
            since,
            upto,
            afterStage,
            afterId,
            pageSize,
          ])
        : await by.query("select * from bellwire.changes_for($1, $2, $3, $4, $5, $6)", [
            [since],
            [recipient],
            [upto],
            [afterStage],
            [afterId],
            pageSize,
          ]),
    );
    const [head, ...found] = rows;
    expect(head).toMatchObject({ id: null, remaining: expect.any(String) });
    return {
      rows: found,
      snapshot: head?.snapshot ?? "",
      revoked: head?.revoked ?? [],
      remaining: Number(head?.remaining),
      counts: [head?.unread ?? null, head?.unseen ?? null],
      removed: found.filter(({ stage }) => stage === REMOVED).map(({ id }) => id ?? ""),
      told: found.filter(({ stage }) => stage === NEW).map(({ id }) => id ?? ""),
      changed: found.filter(({ stage }) => stage === CHANGED).map(({ id }) => id ?? ""),
    };
  }

  /** Notifies each recipient, and returns the ids. */
  async function notify(recipients: string[], by: Queryable = { query }): Promise<string[]> {
    const ids: string[] = [];
    for (const recipient of recipients) {
      const [row] = rowsOf<{ id: string }>(
        await by.query("select bellwire.notify($1, 'test') as id", [recipient]),
      );
      ids.push(row?.id ?? "");
    }
    return ids;
  }

  const markRead = (ids: string[], by: Queryable = { query }) =>
    by.query("update bellwire.notifications set read_at = now() where id = any ($1)", [ids]);

  const remove = (ids: string[], by: Queryable = { query }) =>
    by.query("delete from bellwire.notifications where id = any ($1)", [ids]);

  const move = (ids: string[], recipient: string, by: Queryable = { query }) =>
    by.query("update bellwire.notifications set recipient_id = $2 where id = any ($1)", [
      ids,
      recipient,
    ]);

  async function begin() {
    const client = await database.connect();
    await client.query("begin");
    return client;
  }

  describe("changes_since() and changes_for()", () => {
    test("find a row with an early id that commits late", async () => {
      const start = await now();
      const late = await begin();
      const early = await notify(["1"], late);
      const [other] = await notify(["2"]);
      const first = await read({ since: start });
      expect(first.told).toEqual([other]);
      await late.query("commit");
      const second = await read({ since: first.snapshot });
      expect(second.told).toEqual(early);
      expect((await read({ since: second.snapshot })).rows).toEqual([]);
    });

    test("return only a head when there is nothing to read", async () => {
      const [row, ...others] = await query("select * from bellwire.changes_since($1)", [
        await now(),
      ]);
      expect(others).toEqual([]);
      expect(row).toMatchObject({
        id: null,
        remaining: "0",
        revoked: [],
        newest: expect.stringMatching(/^\d+$/),
        unread: null,
        snapshot: expect.stringMatching(/^\d+:\d+:/),
        epoch: expect.stringMatching(/^[0-9a-f]{8}$/),
      });
    });

    test("call a row new when it was inserted since, even if it was read meanwhile, and every other row changed", async () => {
      const [old] = await notify(["1"]);
      const start = await now();
      const [fresh, untouched] = await notify(["1", "1"]);
      await markRead([old ?? "", fresh ?? ""]);
      const found = await read({ since: start });
      expect(found.told).toEqual([fresh, untouched]);
      expect(found.changed).toEqual([old]);
      expect(found.rows.map(({ read_at }) => read_at !== null)).toEqual([true, false, true]);
    });

    test("do not repeat a row after an update that changes nothing in it", async () => {
      const ids = await notify(["1"]);
      await markRead(ids);
      const start = await now();
      await query("update bellwire.notifications set read_at = read_at, title = title");
      expect((await read({ since: start })).rows).toEqual([]);
    });

    test("count a recipient's unread and unseen rows in the same snapshot", async () => {
      const start = await now();
      const ids = await notify(["1", "1", "1", "1", "2"]);
      await query("update bellwire.notifications set seen_at = now() where id = $1", [ids[1]]);
      await markRead(ids.slice(2, 3));
      await query("update bellwire.notifications set archived_at = now() where id = $1", [ids[3]]);
      const badges = ({ rows }: Found) =>
        rows.map(({ recipient_id, unread, unseen }) => [recipient_id, unread, unseen]);
      expect((await read({ since: start, recipient: "1" })).counts).toEqual(["2", "1"]);
      // In a read for all, the hub adds inserts to the counts it knows; the database counts for recipients with changed rows.
      expect(badges(await read({ since: start }))).toEqual([
        ...Array(4).fill(["1", null, null]),
        ["2", null, null],
      ]);
      const afterInserts = await now();
      await markRead(ids.slice(0, 1));
      await notify(["1", "2"]);
      expect(badges(await read({ since: afterInserts }))).toEqual([
        ["1", null, null],
        ["2", null, null],
        ["1", "2", "1"],
      ]);
      const [empty] = await query(
        "select id, unread, unseen from bellwire.changes_for(array[$1]::pg_snapshot[], array['1'])",
        [await now()],
      );
      expect(empty).toEqual({ id: null, unread: "2", unseen: "1" });
    });

    test("for one recipient return only that recipient's rows, including those of transactions that were in progress", async () => {
      const open = await begin();
      const [mine] = await notify(["1", "2"], open);
      const since = await now();
      await open.query("commit");
      const [later] = await notify(["1", "2"]);
      expect((await read({ since, recipient: "1" })).told).toEqual([mine, later]);
      expect((await read({ since, recipient: "3" })).told).toEqual([]);
      expect((await read({ since })).told).toHaveLength(4);
    });

    test("may be called by bellwire_service, and not by a role without rights", async () => {
      const client = await database.connect();
      const since = await now();
      await client.query("set role bellwire_service");
      expect((await read({ since }, client)).rows).toEqual([]);
      await client.query("set role pg_read_all_data");
      await expect(read({ since }, client)).rejects.toMatchObject({ code: "42501" });
    });

    test("find the same in many pages as in one, though rows are added and changed between the pages", async () => {
      const old = await notify(Array(30).fill("1"));
      const open = await begin();
      const late = await notify(Array(5).fill("1"), open);
      const since = await now();
      const fresh = await notify(Array(30).fill("1"));
      await markRead(old.slice(0, 20));
      await open.query("commit");
      const whole = await read({ since });
      expect(whole.told).toEqual([...late, ...fresh]);
      expect(whole.changed).toEqual(old.slice(0, 20));

      for (const recipient of [undefined, "1"]) {
        const pages = await readPages({ since, recipient, upto: whole.snapshot, pageSize: 7 }, () =>
          notify(["1", "2"]),
        );
        expect(pages.map(({ id, stage }) => [id, stage])).toEqual(
          whole.rows.map(({ id, stage }) => [id, stage]),
        );
      }

      // A new row that changes between the pages stays in the read, and so does a changed row that changes again. The next read
      // has all changes made since.
      const again = [fresh[29] ?? "", old[19] ?? ""];
      const pages = await readPages({ since, upto: whole.snapshot, pageSize: 7 }, () =>
        query("update bellwire.notifications set archived_at = now() where id = any ($1)", [again]),
      );
      expect(pages.map(({ id }) => id)).toEqual([...whole.told, ...old.slice(0, 20)]);
      const next = await read({ since: whole.snapshot });
      expect(next.changed).toEqual([old[19], fresh[29]]);
    });

    /** All rows of a read in pages. Calls a function after each page. */
    async function readPages(
      options: Read & { pageSize: number },
      between: () => Promise<unknown>,
    ) {
      const all: Row[] = [];
      let place: Pick<Read, "afterStage" | "afterId"> = {};
      for (;;) {
        const { rows, remaining } = await read({ ...options, ...place });
        all.push(...rows);
        const last = rows.at(-1);
        if (!last?.id) return all;
        // A recipient's page may have more rows that carry no texts.
        expect(rows.length).toBeGreaterThanOrEqual(Math.min(options.pageSize, remaining));
        place = { afterStage: last.stage ?? 0, afterId: last.id };
        await between();
      }
    }

    test("end a page after a megabyte of texts, however many rows it may have, and never before its first row", async () => {
      const since = await now();
      for (const kilobytes of [400, 400, 400, 3000, 10])
        await query("select bellwire.notify('1', 'test', body => repeat('я', $1))", [
          kilobytes * 512,
        ]);
      const first = await read({ since });
      expect([first.rows.length, first.remaining]).toEqual([3, 5]);
      const upto = first.snapshot;
      const behind = (id = "") => ({ since, upto, afterStage: NEW, afterId: id });
      const second = await read(behind(first.told[2]));
      expect([second.rows.length, second.remaining]).toEqual([1, 2]);
      const third = await read(behind(second.told[0]));
      expect([third.rows.length, third.remaining]).toEqual([1, 1]);
    });

    test("keep a page within its page_bytes, and when not even one row fits return that row's size", async () => {
      const since = await now();
      const ids: string[] = [];
      for (const bytes of [1000, 1000, 5000, 10]) {
        const [row] = await query<{ id: string }>(
          "select bellwire.notify('1', 'test', title => repeat('x', $1 / 2), data => to_jsonb(repeat('x', $1 / 2 - 2))) as id",
          [bytes],
        );
        ids.push(row?.id ?? "");
      }
      const page = async (bytes: number, afterId = "0") => {
        const [head, ...rows] = await query<Row & { bytes: string }>(
          "select * from bellwire.changes_for(array[$1]::pg_snapshot[], array['1'], after_stage => array[1], after_id => array[$2]::bigint[], page_bytes => array[$3]::bigint[])",
          [since, afterId, bytes],
        );
        return [Number(head?.bytes), rows.map(({ id }) => id)];
      };
      const one = 1000 + 4 + 256; // body, type, and the constant part
      expect(await page(3 * one)).toEqual([2 * one, ids.slice(0, 2)]);
      expect(await page(one)).toEqual([one, ids.slice(0, 1)]);
      expect(await page(one - 1)).toEqual([one, []]);
      expect(await page(3 * one, ids[1])).toEqual([4000 + one, []]);
      expect(await page(4000 + one, ids[1])).toEqual([4000 + one, ids.slice(2, 3)]);
      expect(await page(9000, ids[3])).toEqual([0, []]);
    });

    test.each(["changes_for", "changes_since"])(
      "%s shortens texts of more than cut_at bytes to that many characters, leaves such data out, and sets is_cut",
      async (reader) => {
        const since = await now();
        await query(
          `insert into bellwire.notifications (recipient_id, type, actor_id, title, body, link, data)
           select '1', 'я' || repeat('t', n), repeat('a', n), repeat('я', n), repeat('😀', n), repeat('l', n), to_jsonb(repeat('d', n))
             from unnest(array[10, 98, 99, 101]) n`,
        );
        const call =
          reader === "changes_for"
            ? "changes_for(array[$1]::pg_snapshot[], array['1'], cut_at => 100)"
            : "changes_since($1, cut_at => 100)";
        const rows = await query(
          `select is_cut, octet_length(type) as type, length(actor_id) as actor, length(title) as title, length(body) as body, length(link) as link, data
             from bellwire.${call} where id is not null order by id`,
          [since],
        );
        const data = (n: number) => `"${"d".repeat(n)}"`;
        expect(rows).toEqual([
          { is_cut: false, type: 12, actor: 10, title: 10, body: 10, link: 10, data: data(10) },
          { is_cut: true, type: 100, actor: 98, title: 98, body: 98, link: 98, data: data(98) },
          { is_cut: true, type: 101, actor: 99, title: 99, body: 99, link: 99, data: "{}" },
          { is_cut: true, type: 101, actor: 100, title: 100, body: 100, link: 100, data: "{}" },
        ]);
      },
    );

    /** Rows that are alike. PostgreSQL compresses only the first value, because the others are copies of what it has stored. */
    async function insertThousand(column: string, value: string) {
      await query(
        `insert into bellwire.notifications (recipient_id, type, ${column}) values ('1', 'test', ${value})`,
      );
      await query(
        `insert into bellwire.notifications (recipient_id, type, ${column})
         select recipient_id, type, ${column} from bellwire.notifications, generate_series(2, 1000)`,
      );
    }

    test("do not read the texts of rows that do not fit the page", async () => {
      const since = await now();
      await insertThousand("data", "jsonb_build_object('text', repeat('x', 1000000))");
      // All texts together are a gigabyte, and reading them would take longer than a reader waits.
      const client = await database.connect();
      await client.query("set statement_timeout = '5s'");
      const { rows, remaining } = await read({ since }, client);
      expect([rows.length, remaining]).toEqual([2, 1000]);
    });

    test.each([
      ["changes_since", "body", "repeat('x', 100000)"],
      ["changes_for", "body", "repeat('x', 100000)"],
      ["changes_since", "data", "to_jsonb(repeat('x', 100000))"],
      ["changes_for", "data", "to_jsonb(repeat('x', 100000))"],
    ])(
      "%s decompresses little more than its page when %s is stored compressed",
      async (reader, column, value) => {
        const since = await now();
        await insertThousand(column, value);
        const call =
          reader === "changes_for"
            ? "changes_for(array[$1]::pg_snapshot[], array['1'], cut_at => 60000)"
            : "changes_since($1, cut_at => 60000)";
        // PostgreSQL writes more than work_mem to files. A page is a megabyte, all rows are a hundred.
        const [found] = await query<{
          "QUERY PLAN": [{ Plan: { "Temp Written Blocks": number } }];
        }>(`explain (analyze, buffers, format json) select * from bellwire.${call}`, [since]);
        const blocks = found?.["QUERY PLAN"][0].Plan["Temp Written Blocks"] ?? Number.NaN;
        expect((blocks * 8192) / 1e6).toBeLessThan(50);
      },
    );

    test.each([1, 2, 3, 4, 5])(
      "a chain of reads misses no row and repeats none, seed %i",
      async (seed) => {
        const { committed, rolledBack, reads, naive } = await writeAndRead(seed);
        const told = reads.flatMap((found) => found.told);
        expect(told.length).toBeGreaterThan(100);
        expect(rolledBack.length).toBeGreaterThan(30);
        expect(new Set(told).size).toBe(told.length);
        expect(told.toSorted()).toEqual(committed.toSorted());
        // The last state that a reader got of a row is the row's state.
        const last = new Map(
          reads.flatMap(({ rows }) => rows.map(({ id, read_at }) => [id, read_at])),
        );
        const rows = await query<{ id: string; read_at: string | null }>(
          "select id, bellwire.wire_time(read_at) as read_at from bellwire.notifications",
        );
        expect(last).toEqual(new Map(rows.map(({ id, read_at }) => [id, read_at])));
        // A reader by "id > last", with the same writers, shows that the check can fail.
        expect(naive.length).toBeLessThan(committed.length);
      },
    );

    /**
     * Eight writers and one reader. The seed decides the order of their steps: inserts, changes, savepoints released or rolled
     * back, commits, and three rollbacks in ten.
     */
    async function writeAndRead(seed: number) {
      const random = createRandom(seed);
      const chance = (share: number) => random() < share;
      const committed: string[] = [];
      const rolledBack: string[] = [];
      const reads: Found[] = [];
      const naive: string[] = [];
      let since = await now();

      type Writer = {
        client: pg.Client;
        open: boolean;
        ids: string[];
        inSavepoint: string[] | null;
      };
      const writers: Writer[] = [];
      for (let i = 0; i < 8; i++) {
        writers.push({ client: await database.connect(), open: false, ids: [], inSavepoint: null });
      }

      async function step(writer: Writer) {
        const { client } = writer;
        if (!writer.open) {
          await client.query("begin");
          Object.assign(writer, { open: true, ids: [], inSavepoint: null });
        } else if (writer.inSavepoint === null && chance(0.2)) {
          await client.query("savepoint s");
          writer.inSavepoint = [];
        } else if (writer.inSavepoint !== null && chance(0.3)) {
          const undone = chance(0.5);
          await client.query(undone ? "rollback to s" : "release s");
          (undone ? rolledBack : writer.ids).push(...writer.inSavepoint);
          writer.inSavepoint = null;
        } else if (chance(0.3)) {
          // Not a row that another writer is changing: this one would wait.
          await client.query(
            `update bellwire.notifications set read_at = clock_timestamp() where id =
               (select id from bellwire.notifications order by id % $1, id limit 1 for update skip locked)`,
            [Math.ceil(random() * 20)],
          );
        } else if (chance(0.7)) {
          (writer.inSavepoint ?? writer.ids).push(...(await notify(["1", "2"], client)));
        } else {
          await end(writer, chance(0.3));
        }
      }

      async function end(writer: Writer, undone: boolean) {
        await writer.client.query(undone ? "rollback" : "commit");
        (undone ? rolledBack : committed).push(...writer.ids, ...(writer.inSavepoint ?? []));
        writer.open = false;
      }

      async function readOn() {
        const found = await read({ since });
        reads.push(found);
        since = found.snapshot;
        const after = await query<{ id: string }>(
          "select id from bellwire.notifications where id > $1 order by id",
          [naive.at(-1) ?? "0"],
        );
        naive.push(...after.map(({ id }) => id));
      }

      for (let i = 0; i < 700; i++) {
        const writer = writers[Math.floor(random() * writers.length)];
        if (writer) await step(writer);
        if (chance(0.2)) await readOn();
      }
      for (const writer of writers) {
        if (writer.open) await end(writer, false);
        await readOn();
      }
      return { committed, rolledBack, reads, naive };
    }

    test("with 50,000 rows read by index only, for all and for one recipient", async () => {
      await query(
        `insert into bellwire.notifications (recipient_id, type)
         select n % 1000, 'test' from generate_series(1, 50000) n`,
      );
      await query("analyze bellwire.notifications");
      const since = await now();
      const ids = await notify(["1", "2", "3"]);
      const [reader, other] = [await database.connect(), await database.connect()];
      const readStatistics = async () => {
        await reader.query("select pg_stat_force_next_flush()");
        const { rows } = await other.query<{ scans: number; probes: number; fetched: number }>(
          `select t.seq_scan::int as scans, t.idx_scan::int as probes,
                  (select sum(idx_tup_read)::int from pg_stat_user_indexes i where i.relid = t.relid) as fetched
             from pg_stat_user_tables t where t.relid = 'bellwire.notifications'::regclass`,
        );
        return rows[0] ?? { scans: 0, probes: 0, fetched: 0 };
      };
      await query("select pg_stat_force_next_flush()");
      await query("select 1");
      const before = await readStatistics();
      expect((await read({ since }, reader)).told).toEqual(ids);
      expect((await read({ since, recipient: "2" }, reader)).told).toEqual(ids.slice(1, 2));
      const after = await readStatistics();
      expect(after.scans - before.scans).toBe(0);
      expect(after.probes - before.probes).toBeGreaterThanOrEqual(4);
      // The new rows, and the one recipient's unread rows: 3 + 1 + 51.
      expect(after.fetched - before.fetched).toBeLessThan(100);
    });

    test("find the same rows, from every position and for every recipient", async () => {
      const recipients = ["1", "2", "3"];
      const open = await Promise.all(Array.from({ length: 4 }, begin));
      const positions = [await now()];
      for (let i = 0; i < 24; i++) {
        const client = open[i % 4] as pg.Client;
        const by: Queryable = i % 3 === 0 ? { query } : client;
        const ids = await notify(recipients.slice(i % 3), by);
        if (i % 2 === 0) await markRead(ids.slice(0, 1), by);
        if (i % 5 === 0) await query("select bellwire.revoke($1)", [recipients[i % 3]]);
        if (i % 4 === 1) await remove(ids.slice(0, 1), by);
        if (i % 4 === 3) await move(ids.slice(0, 1), "3", by);
        if (i > 16 && i % 2 === 1) {
          await client.query("commit");
          await client.query("begin");
        }
        positions.push(await now());
      }
      for (const client of open) await client.query("commit");
      let found = 0;
      for (const since of positions) {
        const all = await read({ since });
        for (const recipient of recipients) {
          const own = await read({ since, recipient });
          const isOwn = (row: Row) => row.recipient_id === recipient;
          const withoutCounts = (row: Row) => ({
            ...row,
            reader: null,
            bytes: null,
            unread: null,
            unseen: null,
            fresh: null,
          });
          expect(own.rows.map(withoutCounts)).toEqual(all.rows.filter(isOwn).map(withoutCounts));
          expect(own.revoked).toEqual(all.revoked.filter((revoked) => revoked === recipient));
          for (const row of all.rows.filter((row) => isOwn(row) && row.stage !== NEW))
            expect([row.unread, row.unseen]).toEqual(own.counts);
          found += own.rows.length;
        }
      }
      expect(found).toBeGreaterThan(500);
    });

    test("answer many readers at once, each as if it were alone", async () => {
      const start = await now();
      const ids = await notify(["1", "1", "2", "1"]);
      const later = await now();
      await notify(["2"]);
      await query("select bellwire.revoke('2')");
      const answers = await query<Row & { reader: string }>(
        `select * from bellwire.changes_for($1, $2, $3, $4, $5, page_size => 2)
          order by reader, id nulls first`,
        [
          [start, start, later, start, start],
          ["1", "2", "1", "1", "3"],
          [null, null, null, later, null],
          [-1, -1, -1, NEW, null],
          ["0", "0", "0", ids[0], null],
        ],
      );
      const found = answers.map((row) => [row.reader, row.id, row.remaining, row.revoked]);
      expect(found).toEqual([
        ["1", null, "3", []],
        ["1", ids[0], null, null],
        ["1", ids[1], null, null],
        ["2", null, "2", ["2"]],
        ["2", ids[2], null, null],
        ["2", expect.any(String), null, null],
        ["3", null, "0", []],
        ["4", null, "2", []],
        ["4", ids[1], null, null],
        ["4", ids[3], null, null],
        ["5", null, "0", []],
      ]);
    });

    test("count new rows up to `most` and one more; below that, also all changed and removed rows", async () => {
      const old = await notify(Array(60).fill("1"));
      const start = await now();
      const find = async () => {
        const [row] = await query<Row & { fresh: string }>(
          "select * from bellwire.changes_for(array[$1]::pg_snapshot[], array['1'], most => 10)",
          [start],
        );
        return [Number(row?.fresh), Number(row?.remaining)];
      };
      expect(await find()).toEqual([0, 0]);
      await notify(Array(10).fill("1"));
      await markRead(old.slice(0, 40));
      await remove(old.slice(40));
      expect(await find()).toEqual([10, 70]);
      await notify(Array(40).fill("1"));
      expect(await find()).toEqual([11, 11]);
    });

    test("divide the megabyte of a page among many readers", async () => {
      const start = await now();
      await query(
        "select bellwire.notify(n::text, 'test', title => repeat('x', 9000)) from generate_series(1, 10) n, generate_series(1, 20)",
      );
      const [row] = await query<{ bytes: number; readers: number }>(
        `select sum(length(title))::int as bytes, count(distinct reader)::int as readers
           from bellwire.changes_for(
                  array(select $1::pg_snapshot from generate_series(1, 10)),
                  array(select n::text from generate_series(1, 10) n))`,
        [start],
      );
      expect(row?.readers).toBe(10);
      expect(row?.bytes).toBeLessThan(1_048_576 * 1.2);
    });
  });

  describe("a notification that a recipient no longer has", () => {
    test("is a removal with the counts, whether deleted, pruned or moved, for all and for one recipient", async () => {
      const ids = await notify(["1", "1", "1", "2", "1"]);
      const [deleted = "", moved = "", old = ""] = ids;
      const since = await now();
      await remove([deleted]);
      await move([moved], "2");
      await query("update bellwire.notifications set created_at = '2000-01-01' where id = $1", [
        old,
      ]);
      // The oldest rows.
      await query("select bellwire.prune('2001-01-01')");
      const all = await read({ since });
      expect(all.removed).toEqual([deleted, moved, old]);
      expect(all.told).toEqual([moved]);
      for (const { recipient_id, unread } of all.rows.slice(0, 3))
        expect([recipient_id, unread]).toEqual(["1", "1"]);
      const own = await read({ since, recipient: "1" });
      expect([own.removed, own.told, own.counts]).toEqual([[deleted, moved, old], [], ["1", "1"]]);
      const other = await read({ since, recipient: "2" });
      expect([other.removed, other.told, other.counts]).toEqual([[], [moved], ["2", "2"]]);
      expect((await read({ since: own.snapshot })).rows).toEqual([]);
    });

    test("is a removal when the delete commits after the reader's snapshot", async () => {
      const ids = await notify(["1"]);
      const open = await begin();
      await remove(ids, open);
      const since = await now();
      expect((await read({ since })).removed).toEqual([]);
      await notify(["2"]);
      const later = await now();
      await open.query("commit");
      for (const recipient of [undefined, "1"])
        for (const at of [since, later])
          expect((await read({ since: at, recipient })).removed).toEqual(ids);
    });

    test("is a removal first and new afterwards, when it is given back", async () => {
      const ids = await notify(["1"]);
      const since = await now();
      await move(ids, "2");
      const between = await read({ since });
      await move(ids, "1");
      for (const recipient of [undefined, "1"]) {
        const found = await read({ since, recipient });
        expect(found.rows.map(({ id, stage }) => [id, stage])).toEqual(
          recipient
            ? [
                [ids[0], REMOVED],
                [ids[0], NEW],
              ]
            : [
                [ids[0], REMOVED],
                [ids[0], REMOVED],
                [ids[0], NEW],
              ],
        );
      }
      // A page of the earlier read has the removal; the next read has the row.
      const page = await read({ since, recipient: "1", upto: between.snapshot });
      expect([page.removed, page.told]).toEqual([ids, []]);
      expect((await read({ since: between.snapshot, recipient: "1" })).told).toEqual(ids);
    });

    test("is no removal for a reader that has seen it given back, but not taken away", async () => {
      // The transactions commit in the other order of their ids. A shortened position may have only the first.
      const ids = await notify(["1"]);
      const back = await begin();
      await back.query("select pg_current_xact_id()");
      await move(ids, "2");
      await move(ids, "1", back);
      await back.query("commit");
      const [row] = await query<{ xid: string }>(
        "select (created_xid::text::bigint + 1)::text as xid from bellwire.notifications",
      );
      const since = `${row?.xid}:${row?.xid}:`;
      for (const recipient of [undefined, "1"]) {
        const found = await read({ since, recipient });
        expect(found.rows.filter(({ recipient_id }) => recipient_id === "1")).toEqual([]);
      }
    });

    test("is a removal for each recipient that it passed through, however small the page", async () => {
      const ids = await notify(["1", "1"]);
      const since = await now();
      for (const recipient of ["2", "3", "4"]) await move(ids, recipient);
      const first = await read({ since, pageSize: 1 });
      const handsOf = ({ rows }: Found) => rows.map(({ recipient_id }) => recipient_id).toSorted();
      expect(handsOf(first)).toEqual(["1", "2", "3"]);
      const next = await read({
        since,
        upto: first.snapshot,
        afterStage: REMOVED,
        afterId: ids[0] ?? "",
      });
      expect(handsOf(next)).toEqual(["1", "2", "3", "4", "4"]);
    });

    test("is recorded once when one transaction moves it twice, and not when another column changes", async () => {
      const ids = await notify(["1"]);
      const by = await begin();
      for (const recipient of ["2", "1", "2", "2"]) await move(ids, recipient, by);
      await by.query("commit");
      await markRead(ids);
      expect(
        await query("select recipient_id from bellwire.removals order by recipient_id"),
      ).toEqual([{ recipient_id: "1" }, { recipient_id: "2" }]);
    });

    test("wakes the service", async () => {
      const listener = await database.connect();
      let heard = 0;
      listener.on("notification", () => heard++);
      await listener.query("listen bellwire");
      const ids = await notify(["1", "1"]);
      await expect.poll(() => heard).toBe(2);
      for (const change of [
        () => remove(ids.slice(0, 1)),
        () => move(ids, "2"),
        () => query("truncate bellwire.notifications"),
      ]) {
        heard = 0;
        await change();
        await expect.poll(() => heard).toBe(1);
      }
    });

    test("does not move the newest position back", async () => {
      const newest = async () =>
        (
          await query<{ newest: string }>("select newest from bellwire.changes_since($1)", [
            await now(),
          ])
        )[0]?.newest ?? "";
      const ids = await notify(["1"]);
      const before = BigInt(await newest());
      await remove(ids);
      expect(BigInt(await newest())).toBeGreaterThan(before);
    });

    test("is forgotten by prune() after the retention; a reader that had not seen it is expired", async () => {
      const [old, young] = await notify(["1", "1"]);
      const before = await now();
      await remove([old ?? ""]);
      await query("update bellwire.removals set removed_at = '2000-01-01'");
      // Transactions in other databases are left out: they are older than the removal, and would make the position expired as well.
      const [, end] = (await now()).split(":");
      const between = `${end}:${end}:`;
      await remove([young ?? ""]);
      await query("select bellwire.prune('2001-01-01')");
      expect(await query("select notification_id as id from bellwire.removals")).toEqual([
        { id: young },
      ]);
      const isExpired = async (since: string) =>
        (await query("select is_expired from bellwire.changes_since($1)", [since]))[0]?.is_expired;
      expect([await isExpired(before), await isExpired(between)]).toEqual([true, false]);
    });
  });

  describe("rows of another history", () => {
    const FUTURE = "(pg_current_xact_id()::text::bigint + 1000000)::text::xid8";

    /** As after a restore into a cluster that has assigned fewer transaction ids. */
    const restore = (ids: string[]) =>
      query(
        `update bellwire.notifications set created_xid = ${FUTURE}, changed_xid = ${FUTURE} where id = any ($1)`,
        [ids],
      );

    const adopt = async () =>
      (await query<{ n: string }>("select bellwire.adopt_restored_rows() as n"))[0]?.n;

    test("are not returned, and after their adoption they are old rows that ring nowhere", async () => {
      const start = await now();
      const [restored, own] = [await notify(["1", "1"]), await notify(["1"])];
      await restore(restored);
      const before = await read({ since: start });
      expect(before.told).toEqual(own);

      expect(await adopt()).toBe("2");
      expect(await adopt()).toBe("0");
      expect((await read({ since: before.snapshot })).rows).toEqual([]);
      expect((await read({ since: start })).told).toEqual(own);
    });

    test("are found when they change after their adoption", async () => {
      const ids = await notify(["1"]);
      await restore(ids);
      await adopt();
      const since = await now();
      await markRead(ids);
      expect((await read({ since })).changed).toEqual(ids);
    });

    test("may be restored and adopted again, and still ring nowhere", async () => {
      const ids = await notify(["1"]);
      await restore(ids);
      await adopt();
      // Changed in one history, then restored into another: the insert's id is old, the change's is not.
      await query(`update bellwire.notifications set read_at = now(), changed_xid = ${FUTURE}`);
      const since = await now();
      expect((await read({ since })).rows).toEqual([]);
      expect(await adopt()).toBe("1");
      expect((await read({ since })).rows).toEqual([]);
      expect(await adopt()).toBe("0");
    });

    test("do not include rows of a transaction that commits while the adoption runs", async () => {
      const start = await now();
      const writer = await begin();
      const ids = await notify(["1"], writer);
      await writer.query("select bellwire.revoke('1')");
      await writer.query("lock table bellwire.notifications, bellwire.revocations");
      const adopting = (await database.connect()).query(
        "select bellwire.adopt_restored_rows() as n",
      );
      await expect
        .poll(() =>
          query(`select from pg_stat_activity
                  where datname = current_database() and wait_event_type = 'Lock'`),
        )
        .toHaveLength(1);
      await writer.query("commit");
      expect((await adopting).rows).toEqual([{ n: "0" }]);
      const found = await read({ since: start });
      expect(found.told).toEqual(ids);
      expect(found.revoked).toEqual(["1"]);
    });

    test("may be removals, which are forgotten", async () => {
      const since = await now();
      const ids = await notify(["1"]);
      await query("delete from bellwire.notifications");
      await query(`update bellwire.removals set removed_xid = ${FUTURE}`);
      expect((await read({ since })).removed).toEqual([]);
      await adopt();
      expect(await query("select from bellwire.removals")).toEqual([]);
      expect(ids).toHaveLength(1);
    });

    test("may be revocations, which are adopted as well", async () => {
      await query("select bellwire.revoke('1')");
      await query(`update bellwire.revocations set revoked_xid = ${FUTURE}`);
      await adopt();
      const [row] = await query("select revoked from bellwire.changes_since($1)", [await now()]);
      expect(row).toEqual({ revoked: [] });
    });
  });

  describe("revoke()", () => {
    test("is reported to each reader once, whether or not there is a row", async () => {
      const since = await now();
      await query("select bellwire.revoke('1')");
      await notify(["2"]);
      const first = await query<{ revoked: string[]; snapshot: string; id: string }>(
        "select revoked, snapshot, id from bellwire.changes_since($1)",
        [since],
      );
      expect(first.map(({ revoked }) => revoked)).toEqual([["1"], null]);
      const next = await query("select revoked, id from bellwire.changes_since($1)", [
        first[0]?.snapshot,
      ]);
      expect(next).toEqual([{ revoked: [], id: null }]);
    });

    test("is reported when it commits after the reader's snapshot, and again when it is repeated", async () => {
      const open = await begin();
      await open.query("select bellwire.revoke('1')");
      const since = await now();
      await open.query("commit");
      const listRevoked = async (snapshot: string) =>
        (await query("select revoked from bellwire.changes_since($1)", [snapshot]))[0]?.revoked;
      expect(await listRevoked(since)).toEqual(["1"]);
      const later = await now();
      expect(await listRevoked(later)).toEqual([]);
      await query("select bellwire.revoke('1')");
      expect(await listRevoked(later)).toEqual(["1"]);
      expect(
        await query(
          "select count(*)::int as rows, bool_and(revoked_at <= clock_timestamp()) as past from bellwire.revocations",
        ),
      ).toEqual([{ rows: 1, past: true }]);
    });

    test("of a null recipient is an error", async () => {
      await expect(query("select bellwire.revoke(null)")).rejects.toMatchObject({ code: "23502" });
    });
  });

  describe("notify()", () => {
    test("writes its arguments, and returns the id", async () => {
      const [row] = await query(
        `select bellwire.notify('42', 'report.ready', '7', 'Ready', 'Body', '/reports/7', '{"id": 7}', 'k') as id`,
      );
      expect(
        await query(
          "select id, recipient_id, type, actor_id, title, body, link, data, dedupe_key from bellwire.notifications",
        ),
      ).toEqual([
        {
          id: row?.id,
          recipient_id: "42",
          type: "report.ready",
          actor_id: "7",
          title: "Ready",
          body: "Body",
          link: "/reports/7",
          data: { id: 7 },
          dedupe_key: "k",
        },
      ]);
    });

    test.each([
      ["there is no recipient", "select bellwire.notify(null, 'test')"],
      ["the actor tells itself", "select bellwire.notify('1', 'test', '1')"],
      ["the recipient has muted the type", "select bellwire.notify('mute', 'test')"],
      [
        "the recipient has had the dedupe_key",
        "select bellwire.notify('1', 'test', dedupe_key => 'k')",
      ],
    ])("drops it and returns null when %s", async (_, sql) => {
      await query("insert into bellwire.preferences values ('mute', array['other', 'test'])");
      await query("select bellwire.notify('1', 'test', dedupe_key => 'k')");
      expect(await query(`${sql} as id`)).toEqual([{ id: null }]);
      expect(await query("select from bellwire.notifications")).toHaveLength(1);
    });

    test.each([
      ["another muted type", "select bellwire.notify('mute', 'third')"],
      ["another recipient's mute", "select bellwire.notify('1', 'test')"],
      ["another's dedupe_key", "select bellwire.notify('2', 'test', dedupe_key => 'k')"],
      ["another dedupe_key", "select bellwire.notify('1', 'test', dedupe_key => 'K')"],
      ["null data", "select bellwire.notify('1', 'test', data => null)"],
      ["preferences without a mute", "select bellwire.notify('calm', 'test')"],
    ])("does not drop it for %s", async (_, sql) => {
      await query(
        "insert into bellwire.preferences values ('mute', array['other', 'test']), ('calm', default)",
      );
      await query("select bellwire.notify('1', 'test', dedupe_key => 'k')");
      expect(await query(`${sql} as id`)).toEqual([{ id: expect.any(String) }]);
    });

    test("raises the errors that a rule would record", async () => {
      await expect(query("select bellwire.notify('1', null)")).rejects.toMatchObject({
        code: "23502",
      });
    });
  });

  test("a rule drops a muted type, the actor itself and a used dedupe_key as well", async () => {
    await query(`
      insert into public.users (name) values ('Eve');
      insert into bellwire.preferences values ('2', array['message.received']);
      insert into public.messages (sender_id, recipient_id, body) values (1, 2, 'x'), (1, 1, 'x'), (1, 3, 'x')`);
    expect(await query("select recipient_id from bellwire.notifications")).toEqual([
      { recipient_id: "3" },
    ]);
    await query(`select bellwire.define_rule('once', 'public.messages', 'insert', $$
      select recipient_id, 'once' as type, 'k' as dedupe_key from new_rows $$)`);
    await query(
      "insert into public.messages (sender_id, recipient_id) values (1, 4), (1, 4), (1, 3)",
    );
    await query("insert into public.messages (sender_id, recipient_id) values (1, 4)");
    expect(
      await query("select recipient_id from bellwire.notifications where type = 'once' order by 1"),
    ).toEqual([{ recipient_id: "3" }, { recipient_id: "4" }]);
    expect(await query("select * from bellwire.rule_errors")).toEqual([]);
  });

  describe("prune()", () => {
    test("deletes old rows, oldest first, at most 1,000 a call", async () => {
      await query(
        `insert into bellwire.notifications (recipient_id, type, created_at)
         select 1, 'old', now() - interval '100 days' from generate_series(1, 1500)`,
      );
      const young = await notify(["1", "1"]);
      const prune = async () =>
        (await query("select bellwire.prune(now() - interval '90 days') as n"))[0]?.n;
      const [first] = await query("select min(id) as id from bellwire.notifications");
      expect(await prune()).toBe("1000");
      const [next] = await query("select min(id) as id from bellwire.notifications");
      expect(Number(next?.id) - Number(first?.id)).toBe(1000);
      expect(await prune()).toBe("500");
      expect(await prune()).toBe("0");
      expect(await query("select id from bellwire.notifications order by id")).toEqual(
        young.map((id) => ({ id })),
      );
    });

    test("expires no position because of a row that was given to another recipient since: that is a removal", async () => {
      const [moved = ""] = await notify(["1", "1"]);
      await query("update bellwire.notifications set created_at = '2000-01-01'");
      // Transactions in other databases are left out.
      const [, end] = (await now()).split(":");
      const since = `${end}:${end}:`;
      const read = async (recipient: string) =>
        await query<{ is_expired: boolean; stage: number; id: string }>(
          "select is_expired, stage, id from bellwire.changes_for(array[$1]::pg_snapshot[], array[$2])",
          [since, recipient],
        );
      await move([moved], "2");
      await query("select bellwire.prune('2001-01-01')");
      expect(await read("3")).toEqual([{ is_expired: false, stage: null, id: null }]);
      expect(await read("2")).toMatchObject([{ is_expired: false }, { stage: REMOVED, id: moved }]);
      await notify(["1"]);
      await query("update bellwire.notifications set created_at = '2000-01-01'");
      await query("select bellwire.prune('2001-01-01')");
      expect(await read("3")).toMatchObject([{ is_expired: true }]);
    });

    test("forgets the errors of rules that are that old, and no younger ones", async () => {
      await query(
        `insert into bellwire.rule_error_log (rule, sqlstate, message, last_at)
         values ('old', 'x', 'x', '2000-01-01'), ('young', 'x', 'x', now())`,
      );
      await query("select bellwire.prune(now() - interval '90 days')");
      expect(await query("select rule from bellwire.rule_errors")).toEqual([{ rule: "young" }]);
    });
  });
});

type Queryable = { query(sql: string, params?: unknown[]): Promise<unknown> };

/** The result of a client's query, or of a database's. */
function rowsOf<Row>(result: unknown): Row[] {
  return Array.isArray(result) ? result : (result as { rows: Row[] }).rows;
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
