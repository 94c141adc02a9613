import type pg from "pg";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { createRandom, type Random } from "../support/random.ts";

const STAGES: Record<number, string> = { "-1": "marked", 0: "removed", 1: "new", 2: "changed" };

const COLUMNS =
  "snapshot, remaining, stage, id, recipient_id, type, seen_at, read_at, archived_at, unread";

/** The columns of a read's row that these tests use, in the head or in the page. */
interface Row {
  snapshot: string;
  remaining: string;
  stage: number;
  id: string;
  recipient_id: string;
  type: string | null;
  seen_at: string | null;
  read_at: string | null;
  archived_at: string | null;
  unread: string | null;
}

interface Read {
  since: string;
  recipient?: string | undefined;
  upto?: string | undefined;
  after?: Pick<Row, "stage" | "id"> | undefined;
  pageSize?: number;
}

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];
  let session: pg.Client;

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    session = await database.connect();
    return () => database.close();
  });

  async function now(): Promise<string> {
    const [row] = await query<{ at: string }>("select pg_current_snapshot()::text as at");
    return row?.at ?? "";
  }

  /** One page of a read, for one recipient or for all. */
  async function read({ since, recipient, upto, after, pageSize = 1000 }: Read) {
    const place = [after?.stage ?? -1, after?.id ?? "0"];
    // Prepared, because there are thousands of reads.
    const answer = await session.query<Row>(
      recipient
        ? {
            name: "changes_for",
            text: `select ${COLUMNS} from bellwire.changes_for(array[$1]::pg_snapshot[], array[$2], array[$3]::pg_snapshot[], array[$4]::integer[], array[$5]::bigint[], $6)`,
            values: [since, recipient, upto, ...place, pageSize],
          }
        : {
            name: "changes_since",
            text: `select ${COLUMNS} from bellwire.changes_since($1, $2, $3, $4, $5)`,
            values: [since, upto, ...place, pageSize],
          },
    );
    const [head, ...rows] = answer.rows;
    return { rows, snapshot: head?.snapshot ?? "", isLast: Number(head?.remaining) <= rows.length };
  }

  const found = ({ rows }: { rows: Row[] }) => rows.map(({ stage, id }) => [STAGES[stage], id]);

  /** Reads for one recipient and for all, and expects the same. */
  async function readBoth(since: string, recipient: string) {
    const all = await read({ since });
    const own = await read({ since, recipient });
    const ownOfAll = all.rows.filter((row) => row.recipient_id === recipient);
    expect(found(own)).toEqual(found({ rows: ownOfAll }));
    return { rows: ownOfAll };
  }

  let last = 0;
  const newRecipient = () => `r${++last}`;

  async function insert(recipient: string, count: number, type = "a"): Promise<string[]> {
    const rows = await query<{ id: string }>(
      `insert into bellwire.notifications (recipient_id, type)
       select $1, $3 from generate_series(1, $2::integer) returning id`,
      [recipient, count, type],
    );
    return rows.map(({ id }) => id);
  }

  const markAll = (recipient: string, mark: "read" | "seen", more = "") =>
    query(`select bellwire.mark_all('${mark}', $1 ${more})`, [recipient]);

  describe("a mark-all of ten or more", () => {
    test("is one event for a reader that has all the rows it marked", async () => {
      const me = newRecipient();
      const ids = await insert(me, 10);
      const since = await now();
      await markAll(me, "read");
      const { rows } = await readBoth(since, me);
      const [row] = await query(
        `select bellwire.wire_time(seen_at) as seen, bellwire.wire_time(read_at) as read
           from bellwire.notifications where id = $1`,
        [ids[0]],
      );
      expect(rows).toEqual([
        expect.objectContaining({
          stage: -1,
          id: ids[9],
          type: null,
          seen_at: row?.seen,
          read_at: row?.read,
          unread: "0",
        }),
      ]);
    });

    test("may mark as seen only", async () => {
      const me = newRecipient();
      const ids = await insert(me, 10);
      const since = await now();
      await markAll(me, "seen");
      const { rows } = await readBoth(since, me);
      expect(rows).toEqual([
        expect.objectContaining({ stage: -1, id: ids[9], read_at: null, unread: "10" }),
      ]);
    });

    test("of one type is sent row by row, because readers are not told when a row's type changes", async () => {
      const me = newRecipient();
      const ids = await insert(me, 10);
      const since = await now();
      await markAll(me, "read", ", of_type => 'a'");
      expect(found(await readBoth(since, me))).toEqual(ids.map((id) => ["changed", id]));
    });

    test("is sent row by row to an older service, whose reads begin with removals", async () => {
      const me = newRecipient();
      const ids = await insert(me, 10);
      const since = await now();
      await markAll(me, "read");
      for (const recipient of [undefined, me]) {
        const page = await read({ since, recipient, after: { stage: 0, id: "0" } });
        expect(found(page)).toEqual(ids.map((id) => ["changed", id]));
      }
    });

    test("of nine is sent as nine rows", async () => {
      const me = newRecipient();
      const ids = await insert(me, 9);
      const since = await now();
      await markAll(me, "read");
      expect(found(await readBoth(since, me))).toEqual(ids.map((id) => ["changed", id]));
    });

    test("is sent row by row to a reader that lacks a state it replaced", async () => {
      const me = newRecipient();
      const ids = await insert(me, 10);
      const since = await now();
      await query("update bellwire.notifications set archived_at = now() where id = $1", [ids[3]]);
      await query("update bellwire.notifications set archived_at = null where id = $1", [ids[3]]);
      const then = await now();
      await markAll(me, "read");
      expect(found(await readBoth(since, me))).toEqual(ids.map((id) => ["changed", id]));
      expect(found(await readBoth(then, me))).toEqual([["marked", ids[9]]]);
    });

    test("comes before later changes of the rows it marked", async () => {
      const me = newRecipient();
      const ids = await insert(me, 12);
      const since = await now();
      await markAll(me, "read");
      await query("update bellwire.notifications set read_at = null where id = $1", [ids[5]]);
      await query("delete from bellwire.notifications where id = $1", [ids[7]]);
      const [fresh] = await insert(me, 1);
      expect(found(await readBoth(since, me))).toEqual([
        ["marked", ids[11]],
        ["removed", ids[7]],
        ["new", fresh],
        ["changed", ids[5]],
      ]);
    });

    test("is sent row by row when it left out a row that the client would mark", async () => {
      const me = newRecipient();
      const open = await database.connect();
      await open.query("begin");
      await open.query(
        "insert into bellwire.notifications (recipient_id, type) values ($1, 'a') returning id",
        [me],
      );
      const ids = await insert(me, 10);
      const had = await now();
      await open.query("commit");
      const since = await now();
      await markAll(me, "read", `, had => '${had}'`);
      expect(found(await readBoth(since, me))).toEqual(ids.map((id) => ["changed", id]));
      expect(found(await readBoth(had, me))).toContainEqual(["marked", ids[9]]);
    });

    test("is one event in a read's first page only; a read that is continued there gets the rows", async () => {
      const me = newRecipient();
      const ids = await insert(me, 10);
      const since = await now();
      await markAll(me, "read");
      for (const recipient of [undefined, me]) {
        const first = await read({ since, recipient });
        const rest = await read({ since, recipient, upto: first.snapshot, after: first.rows[0] });
        expect(found(rest)).toEqual(ids.map((id) => ["changed", id]));
      }
    });

    test("within a longer transaction is followed by that transaction's other changes", async () => {
      const me = newRecipient();
      const ids = await insert(me, 12);
      const since = await now();
      await query("begin");
      await markAll(me, "read", `, before => ${ids[10]}`);
      await query("update bellwire.notifications set archived_at = now() where id = $1", [ids[4]]);
      await query("update bellwire.notifications set read_at = '2020-01-01' where id = $1", [
        ids[11],
      ]);
      await query("commit");
      expect(found(await readBoth(since, me))).toEqual([
        ["marked", ids[10]],
        ["changed", ids[4]],
        ["changed", ids[11]],
      ]);
    });

    test("replaces an earlier one, whose rows are sent one by one", async () => {
      const me = newRecipient();
      const ids = await insert(me, 20);
      const since = await now();
      await markAll(me, "seen", `, before => ${ids[9]}`);
      const then = await now();
      await markAll(me, "read", `, before => ${ids[14]}`);
      expect(found(await readBoth(since, me))).toEqual(
        ids.slice(0, 15).map((id) => ["changed", id]),
      );
      expect(found(await readBoth(then, me))).toEqual([["marked", ids[14]]]);
    });

    test("of rows of a hundred transactions is one event when no transaction as old is in progress", async () => {
      const me = newRecipient();
      const ids: string[] = [];
      const open = await database.connect();
      await open.query("begin; select pg_current_xact_id()");
      const before = await now();
      for (let i = 0; i < 120; i++) ids.push(...(await insert(me, 1)));
      const since = await now();
      await markAll(me, "read");
      expect((await readBoth(since, me)).rows).toHaveLength(120);
      await open.query("commit");
      const xmax = since.split(":")[1];
      expect(found(await readBoth(`${xmax}:${xmax}:`, me))).toEqual([["marked", ids[119]]]);
      expect((await readBoth(before, me)).rows).toHaveLength(120);
    });

    test("of a restored database is forgotten", async () => {
      const me = newRecipient();
      await insert(me, 10);
      await markAll(me, "read");
      await query("update bellwire.mark_alls set marked_xid = '9000000000000000000'");
      await query("select bellwire.adopt_restored_rows()");
      expect(await query("select from bellwire.mark_alls")).toEqual([]);
    });
  });

  test.each([1, 2, 3, 4])(
    "a client that applies every page holds the recipient's rows, seed %i",
    async (seed) => {
      const { readers, told } = await writeAndRead(createRandom(seed));
      for (const { recipient, held } of readers) expect(held).toEqual(await holding(recipient));
      expect(told.marked).toBeGreaterThan(5);
      expect(told.changed).toBeGreaterThan(50);
    },
    120_000,
  );

  type Held = Map<string, { type: string; state: (string | null)[] }>;

  async function holding(recipient: string): Promise<Held> {
    const rows = await query<{ id: string; type: string; state: (string | null)[] }>(
      `select id, type,
              array[bellwire.wire_time(seen_at), bellwire.wire_time(read_at), bellwire.wire_time(archived_at)] as state
         from bellwire.notifications where recipient_id = $1 order by id`,
      [recipient],
    );
    return new Map(rows.map(({ id, ...row }) => [id, row]));
  }

  interface Reader {
    recipient: string;
    readsAll: boolean;
    pageSize: number;
    held: Held;
    since: string;
    upto?: string | undefined;
    after?: Pick<Row, "stage" | "id"> | undefined;
  }

  /**
   * Four writers and eight readers. The seed decides the order of their steps. A reader applies pages of all sizes as docs/api.md
   * says.
   */
  async function writeAndRead(random: Random) {
    const [me, other] = [newRecipient(), newRecipient()];
    const told = { marked: 0, changed: 0 };
    const positions = [await now()];
    const pick = <T>(items: readonly T[]) => items[random.int(items.length)] as T;
    const writers: { client: pg.Client; isOpen: boolean }[] = [];
    for (let i = 0; i < 4; i++) {
      const client = await database.connect();
      await client.query("set lock_timeout = '20ms'");
      writers.push({ client, isOpen: false });
    }
    const readers: Reader[] = [];

    /** A row that no other writer is changing. */
    const ONE = `(select id from bellwire.notifications where recipient_id in ('${me}', '${other}')
                   order by id % $1, id limit 1 for update skip locked)`;
    const writes = [
      async (client: pg.Client) => {
        await client.query(
          "insert into bellwire.notifications (recipient_id, type) select $1, $2 from generate_series(1, $3::integer)",
          [pick([me, me, other]), pick(["a", "b"]), pick([1, 12, 12])],
        );
      },
      async (client: pg.Client) => {
        await client.query(
          "insert into bellwire.notifications (recipient_id, type, read_at) values ($1, 'a', now())",
          [me],
        );
      },
      ...[
        "update bellwire.notifications set read_at = case when read_at is null then clock_timestamp() end where id =",
        "update bellwire.notifications set archived_at = case when archived_at is null then clock_timestamp() end where id =",
        "update bellwire.notifications set seen_at = null, read_at = null where id =",
        `update bellwire.notifications set recipient_id = case recipient_id when '${me}' then '${other}' else '${me}' end where id =`,
        "delete from bellwire.notifications where id =",
      ].map((statement) => async (client: pg.Client) => {
        await client.query(`${statement} ${ONE}`, [1 + random.int(40)]);
      }),
      ...Array(6).fill(markSome),
    ];
    async function markSome(client: pg.Client) {
      const [range] = await query<{ max: string }>("select max(id) from bellwire.notifications");
      await client.query("select bellwire.mark_all($1, $2, $3, $4, $5::pg_snapshot)", [
        pick(["read", "read", "seen"]),
        me,
        pick([null, null, Math.max(1, Number(range?.max ?? 1) - random.int(15))]),
        pick([null, null, "a"]),
        pick([null, null, positions[positions.length - 1 - random.int(3)] ?? positions[0]]),
      ]);
    }
    async function write(writer: (typeof writers)[number]) {
      const { client } = writer;
      const end = async (how: string) => {
        if (writer.isOpen) await client.query(how);
        writer.isOpen = false;
      };
      // A commit that has notified takes a lock of the whole server, which writers of other databases may hold for a while.
      const commit = "set local lock_timeout = 0; commit";
      if (writer.isOpen && random.int(3) === 0) return end(random.int(4) ? commit : "rollback");
      if (!writer.isOpen && random.int(2) === 0) {
        await client.query("begin");
        writer.isOpen = true;
      }
      // A mark-all that would wait for another writer is abandoned.
      await pick(writes)(client).catch((err: { code?: string }) => {
        if (err.code !== "55P03") throw err;
        return end("rollback");
      });
    }

    async function open(): Promise<Reader> {
      const recipient = pick([me, me, other]);
      await query("begin isolation level repeatable read");
      const held = await holding(recipient);
      const since = await now();
      await query("commit");
      return { recipient, readsAll: random.int(2) === 0, pageSize: pick([1, 3, 50]), held, since };
    }

    /** False when there was nothing to read. */
    async function readOn(reader: Reader): Promise<boolean> {
      const { recipient, readsAll, held, upto } = reader;
      const page = await read({ ...reader, recipient: readsAll ? undefined : recipient });
      for (const row of page.rows) if (row.recipient_id === recipient) apply(held, row);
      const end = upto ?? page.snapshot;
      if (page.isLast) Object.assign(reader, { since: end, upto: undefined, after: undefined });
      else Object.assign(reader, { upto: end, after: page.rows.at(-1) });
      return page.rows.length > 0 || upto !== undefined;
    }

    function apply(held: Held, { stage, id, type, seen_at, read_at, archived_at }: Row) {
      const state = [seen_at, read_at, archived_at];
      if (stage === -1) {
        told.marked++;
        for (const [heldId, one] of held) {
          const [seen = null, readAt = null, archived = null] = one.state;
          if (BigInt(heldId) <= BigInt(id) && readAt === null && archived === null)
            one.state = [seen ?? seen_at, read_at, null];
        }
      } else if (stage === 0) held.delete(id);
      else if (stage === 1) held.set(id, { type: type ?? "", state });
      else {
        told.changed++;
        const one = held.get(id);
        if (one) one.state = state;
      }
    }

    for (let i = 0; i < 800; i++) {
      await write(pick(writers));
      if (i % 5 === 0) positions.push(await now());
      if (i % 100 === 10) readers.push(await open());
      // Nobody writes before the next step, so a reader that found nothing would find nothing again.
      const upToDate = new Set<Reader>();
      for (let k = 0; k < 4 && readers.length > 0; k++) {
        const reader = pick(readers);
        if (!upToDate.has(reader) && !(await readOn(reader))) upToDate.add(reader);
      }
    }
    for (const { client, isOpen } of writers) if (isOpen) await client.query("commit");
    for (const reader of readers) while (await readOn(reader));
    return { readers, told };
  }
});
