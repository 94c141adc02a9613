import type { Pool } from "pg";
import { beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from "vitest";
import { createChangesReader } from "../../src/db/changes-reader.ts";
import { createPool } from "../../src/db/pool.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openReplays } from "../support/replays.ts";

type Xids = { created: string; changed: string };

/** A reader that wants none of the rows there are begins at the newest row, neither before nor past it. */
describe.each(inject("servers"))("on $name, the newest position", (server) => {
  let database: TestDatabase;
  let reader: ReturnType<typeof createChangesReader>;

  beforeAll(async () => {
    database = await createDatabase(server);
    const pool = createPool({ url: database.url, size: 2, log: createLogger("silent") });
    reader = createChangesReader(pool, 60_000);
    return async () => {
      await pool.close();
      await database.close();
    };
  });

  beforeEach(() => database.query("truncate bellwire.notifications"));

  const notify = () => database.query("select bellwire.notify('1', 'test')");

  async function onlyRow(): Promise<Xids> {
    const [row] = await database.query<Xids>(
      "select created_xid::text as created, changed_xid::text as changed from bellwire.notifications",
    );
    return row ?? { created: "", changed: "" };
  }

  test("is past a row that an older transaction changed last", async () => {
    const older = await database.connect();
    await older.query("begin");
    await older.query("select pg_current_xact_id()");
    for (let i = 0; i < 5; i++) await database.query("select pg_current_xact_id()");
    await notify();
    await older.query("update bellwire.notifications set seen_at = now()");
    await older.query("commit");
    const { created, changed } = await onlyRow();
    expect(BigInt(created)).toBeGreaterThan(BigInt(changed));
    expect((await reader.now()).at.xmax).toBe(BigInt(created) + 1n);
  });

  test("is not past transactions that rolled back after the newest row, whose ids a crash may assign again", async () => {
    await notify();
    for (let i = 0; i < 5; i++)
      await database.query("begin; select bellwire.notify('1', 'test'); rollback");
    const end = BigInt((await onlyRow()).changed) + 1n;
    const now = await reader.now();
    expect(now.at.xmax).toBe(end);
    // A reader of another history goes on past a transaction that has committed, whose id is not assigned again.
    const foreign = { epoch: "00000000", at: { xmax: 5n, inProgress: [] } };
    const found = await reader.readAll(foreign);
    const [begun] = await database.query<{ xid: string }>(
      "select last_value as xid from bellwire.history_began_xid",
    );
    expect(found).toMatchObject({
      isForeign: true,
      epoch: now.epoch,
      upto: { xmax: BigInt(begun?.xid ?? 0) + 1n },
    });
    expect(found.upto.xmax).toBeGreaterThan(end);
  });

  test("is past rows that a restore brings later: rows of an emptied table do not ring when they come back", async () => {
    await notify();
    const old = await onlyRow();
    const before = await reader.now();
    await database.query("truncate bellwire.notifications");
    const found = await reader.readAll(before);
    expect(found).toMatchObject({ isForeign: true, changes: [] });
    await database.query(
      "insert into bellwire.notifications (recipient_id, type, created_xid, changed_xid) values ('1', 'test', $1, $2)",
      [old.created, old.changed],
    );
    const from = { epoch: found.epoch, at: found.upto };
    expect(await reader.readAll(from)).toMatchObject({ isForeign: false, changes: [] });
    await notify();
    expect((await reader.readAll(from)).changes).toMatchObject([{ isNew: true }]);
    // A service that starts during the restore.
    await database.query("truncate bellwire.notifications");
    const started = await reader.now();
    await database.query(
      "insert into bellwire.notifications (recipient_id, type, created_xid, changed_xid) values ('1', 'test', $1, $2)",
      [old.created, old.changed],
    );
    expect((await reader.readAll(started)).changes).toEqual([]);
  });

  test("is of this history, even after a restored row was changed", async () => {
    await notify();
    // As a restore leaves the row, except for the change.
    await database.query("update bellwire.notifications set created_xid = '9000000'");
    expect((await onlyRow()).created).toBe("9000000");
    await reader.adoptRestoredRows();
    expect((await onlyRow()).created).toBe("3");
    expect((await reader.now()).at.xmax).toBeLessThan(9_000_000n);
  });

  test.each([
    ["of another history that nobody has read", false, undefined],
    ["of another history that the feed reads", true, undefined],
    ["that the database refuses", true, 2n ** 32n],
  ])("after a position %s is of the same moment as the counts", async (_, isKnown, xmax = 5n) => {
    await notify();
    const { epoch } = await reader.now();
    const pool = createPool({ url: database.url, size: 2, log: createLogger("silent") });
    onTestFinished(pool.close);
    const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>;
    // Something commits before each query.
    const busy = Object.assign(pool, {
      query: async (...args: unknown[]) => {
        await notify();
        return await query(...args);
      },
    });
    const read = openReplays({
      pool: busy as Pool,
      knownEpoch: () => (isKnown ? epoch : undefined),
    });
    const reservation = () => ({ recipientId: "1", bytes: 0 });
    const from = { epoch: xmax === 5n ? "00000000" : epoch, at: { xmax, inProgress: [] } };
    const found = await read(from, reservation());
    expect(found).toMatchObject({ changes: [], isLast: true, remaining: 0 });
    const later = await read({ epoch: found.epoch, at: found.upto }, reservation());
    expect(later.changes.length).toBeGreaterThan(0);
    expect(later.unread).toBe(found.unread + later.changes.length);
  });
});
