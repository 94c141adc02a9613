import pg from "pg";
import { beforeAll, describe, expect, inject, test } from "vitest";
import type { Cursor } from "../../src/changes/cursor.ts";
import { createInbox, type Inbox } from "../../src/db/inbox.ts";
import type { ListOptions } from "../../src/db/inbox-list.ts";
import { createKnownCounts } from "../../src/db/known-counts.ts";
import { asService } from "../../src/db/pool.ts";
import { createDatabase } from "../support/database.ts";
import { vacuumNotifications } from "../support/vacuum.ts";

/**
 * 250,000 rows. The first 50,000 belong to `old`: 40 are unread and 15 archived. Of the others, every second belongs to `busy`, all
 * unread. `tidy` has archived 9,960 of 10,000.
 */
const SEED = `
  insert into bellwire.notifications
         (recipient_id, type, title, body, read_at, archived_at, created_xid, changed_xid)
  select case
           when n <= 50000 then 'old'
           when n % 2 = 0 then 'busy'
           when n % 20 = 1 then 'tidy'
           else 'other ' || n % 1000
         end,
         'test',
         'A title of a few words',
         'A body of some more: who did what, and where',
         case when n between 41 and 50000 then now() end,
         case when n between 51 and 65 or n % 20 = 1 and n > 50800 then now() end,
         -- written by many transactions, as in production
         (3 + n % 500)::text::xid8,
         (3 + n % 500)::text::xid8
    from generate_series(1, 250000) n`;

const UNREAD = "notifications_recipient_id_id_unread_idx";
const ARCHIVED = "notifications_recipient_id_id_archived_idx";

type Statement = { text: string; values: unknown[] };

type Node = {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Actual Rows"?: number;
  "Actual Loops"?: number;
  "Rows Removed by Filter"?: number;
  Plans?: Node[];
};

type Call = () => Promise<unknown>;
type Page = Omit<ListOptions, "position" | "filter" | "maxBytes"> &
  Partial<Pick<ListOptions, "filter">>;

describe.each(inject("servers"))("on $name", (server) => {
  let service: pg.Client;
  let inbox: Inbox;
  let position: Cursor;
  const sent: Statement[] = [];

  beforeAll(async () => {
    const database = await createDatabase(server);
    await database.query(SEED);
    await vacuumNotifications(database);
    service = new pg.Client(asService(database.url));
    await service.connect();
    const { rows } = await service.query("select pg_snapshot_xmax(pg_current_snapshot()) as xmax");
    position = { epoch: "", at: { xmax: BigInt(rows[0].xmax), inProgress: [] } };

    // The inbox works on an empty database, so that it marks nothing while its statements are recorded.
    const empty = await createDatabase(server);
    const pool = new pg.Pool({ connectionString: asService(empty.url) });
    pool.on("connect", (client) => record(client, sent));
    inbox = createInbox(pool, 60_000, createKnownCounts());
    return async () => {
      await Promise.all([inbox.close(), service.end()]);
      await pool.end();
      await Promise.all([database.close(), empty.close()]);
    };
  });

  const list = (page: Page) => () =>
    inbox.list({ filter: "all", maxBytes: 1_048_576, ...page, position });

  async function statementsOf(call: Call): Promise<Statement[]> {
    sent.length = 0;
    await call();
    return sent.filter(({ values }) => values.length > 0);
  }

  /** Does the work as the service's role, on the database with the rows, and rolls it back. The owner runs `before` first. */
  async function undone<Result>(work: () => Promise<Result>, before = ""): Promise<Result> {
    await service.query(`begin; set local role none; ${before}; set local role bellwire_service`);
    try {
      return await work();
    } finally {
      await service.query("rollback");
    }
  }

  async function explain({ text, values }: Statement, before = "", analyze = true): Promise<Node> {
    const explanation = `explain (analyze ${analyze}, format json) ${text}`;
    const { rows } = await undone(() => service.query(explanation, values), before);
    return rows[0]["QUERY PLAN"][0].Plan;
  }

  /** How many table rows this session has read, by a scan or after an index lookup. */
  async function countRead(): Promise<number> {
    const { rows } = await service.query(
      `select (seq_tup_read + idx_tup_fetch)::integer as read
         from pg_stat_xact_user_tables
        where relid = 'bellwire.notifications'::regclass`,
    );
    return rows[0].read;
  }

  /** The plan of the first statement that the inbox sends for this call. */
  async function planOf(call: Call, before?: string, analyze?: boolean): Promise<Node> {
    const [statement] = await statementsOf(call);
    if (!statement) throw new Error("The inbox has sent nothing");
    return explain(statement, before, analyze);
  }

  describe.each([20, 100])("a page of %i touches few rows besides those it shows:", (limit) => {
    const faultsOf = async (page: Omit<Page, "limit">) =>
      faults(await planOf(list({ ...page, limit })), 3 * (limit + 1));

    test.each<[string, Omit<Page, "limit">]>([
      ["the first page", { recipientId: "busy" }],
      ["the first page of the recipient with the oldest rows", { recipientId: "old" }],
      ["the 500th page", { recipientId: "busy", before: 230_000n }],
      [
        "the 500th page of the recipient with the oldest rows",
        { recipientId: "old", before: 40_000n },
      ],
      ["the unread ones, where all are", { recipientId: "busy", filter: "unread" }],
      ["the few unread ones", { recipientId: "old", filter: "unread" }],
      ["the few that are not archived", { recipientId: "tidy" }],
      ["the few archived ones", { recipientId: "old", filter: "archived" }],
      ["the archived ones, where most are", { recipientId: "tidy", filter: "archived" }],
    ])("%s", async (_, page) => expect(await faultsOf(page)).toEqual([]));
  });

  test("a few archived rows are found by their own index", async () => {
    const plan = await planOf(list({ recipientId: "old", limit: 20, filter: "archived" }));
    expect(indexesOf(plan)).toEqual([ARCHIVED, "notifications_pkey"]);
  });

  test.each([
    ["busy", 100_000],
    ["old", 40],
  ])("the unread of the %s one are counted in their index", async (recipientId, unread) => {
    const plan = await planOf(() => inbox.counts(recipientId));
    expect(indexesOf(plan)).toEqual([UNREAD]);
    expect(faults(plan, unread)).toEqual([]);
  });

  test("the counts and the position of a list are read from indexes alone", async () => {
    const [, beside] = await statementsOf(list({ recipientId: "busy", limit: 20 }));
    const read = await undone(async () => {
      const before = await countRead();
      await service.query(beside?.text ?? "", beside?.values);
      return (await countRead()) - before;
    });
    expect(beside?.text).toContain("changes_for");
    expect(read).toBeLessThan(100);
  });

  test("also when one transaction has written the whole table", async () => {
    const [, beside] = await statementsOf(list({ recipientId: "busy", limit: 20 }));
    const imported = await createDatabase(server);
    await imported.query(
      "insert into bellwire.notifications (recipient_id, type) select 'busy', 'test' from generate_series(1, 20000)",
    );
    await vacuumNotifications(imported);
    const reading = await imported.connect();
    const { rows: known } = await reading.query(
      "select pg_current_snapshot()::text as at, bellwire.epoch()",
    );
    const values = [beside?.values[0], known[0].at, known[0].epoch];
    await reading.query("begin");
    const counted = await reading.query(beside?.text ?? "", values);
    expect(counted.rows).toMatchObject([{ unread: null }]);
    const { rows } = await reading.query(
      "select idx_tup_fetch::integer as read from pg_stat_xact_user_tables where relid = 'bellwire.notifications'::regclass",
    );
    expect(rows[0].read).toBeLessThan(100);
    await imported.close();
  });

  test.each<[string, "seen" | "read", bigint | undefined]>([
    ["all as seen", "seen", undefined],
    ["all as read", "read", undefined],
    ["the older ones as read", "read", 49_000n],
    ["most as read", "read", 249_000n],
  ])("marking %s scans no table", async (_, as, before) => {
    const mark = (recipientId: string) => () => inbox.markAll(as, recipientId, { before });
    expect(faults(await planOf(mark("old")), 50_000)).toEqual([]);
    // Only planned: 100,000 changes take seconds, and leave as many dead rows for the next test.
    expect(faults(await planOf(mark("busy"), "", false), 0)).toEqual([]);
  });

  test.each<[string, string, Call]>([
    ["the count", UNREAD, () => inbox.counts("old")],
    [
      "the few archived",
      ARCHIVED,
      () =>
        inbox.list({
          recipientId: "old",
          limit: 20,
          maxBytes: 1_048_576,
          filter: "archived",
          position,
        }),
    ],
  ])("that %s lost its index would be seen", async (_, index, call) => {
    const plan = await planOf(call, `drop index bellwire.${index}`);
    expect(faults(plan, 3 * 21)).toEqual([expect.stringMatching(/ of \d{5,} rows$/)]);
  });

  test("a plan with a table scan or a large sort would fail these tests", async () => {
    const text =
      "select * from bellwire.notifications where recipient_id = $1 order by title limit 21";
    const plan = await explain({ text, values: ["busy"] });
    expect(faults(plan, 3 * 21)).toEqual([
      expect.stringMatching(/^Sort of \d{5,} rows$/),
      expect.stringMatching(/^Seq Scan of \d{6} rows$/),
    ]);
  });
});

/** Records the statements that a client sends. */
function record(client: pg.PoolClient, sent: Statement[]): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  Object.assign(client, {
    query(statement: Statement, ...rest: unknown[]) {
      sent.push(statement);
      return query(statement, ...rest);
    },
  });
}

function nodesOf(plan: Node): Node[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

function indexesOf(plan: Node): string[] {
  return nodesOf(plan).flatMap((node) => node["Index Name"] ?? []);
}

/** The nodes that scan the table, or that touch or sort more than `most` of its rows. */
function faults(plan: Node, most: number): string[] {
  return nodesOf(plan).flatMap((node) => {
    const type = node["Node Type"];
    let rows = 0;
    if (type.endsWith("Sort")) for (const below of node.Plans ?? []) rows += rowsOf(below);
    if (node["Relation Name"]) rows = rowsOf(node) + rowsOf(node, "Rows Removed by Filter");
    return type === "Seq Scan" || rows > most ? [`${type} of ${rows} rows`] : [];
  });
}

/** Rows of all loops, and each parallel worker is a loop: rows returned, or else rows filtered out. */
function rowsOf(node: Node, what: "Actual Rows" | "Rows Removed by Filter" = "Actual Rows") {
  return Math.round((node[what] ?? 0) * (node["Actual Loops"] ?? 0));
}
