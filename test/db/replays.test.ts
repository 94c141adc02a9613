import type pg from "pg";
import { beforeAll, expect, test } from "vitest";
import type { Cursor } from "../../src/changes/cursor.ts";
import { createChangesReader } from "../../src/db/changes-reader.ts";
import { createPool } from "../../src/db/pool.ts";
import { createBatchedFindStanding } from "../../src/db/revocations.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openReplays } from "../support/replays.ts";

let database: TestDatabase;
let pool: pg.Pool;
let start: Cursor;

beforeAll(async () => {
  database = await createDatabase();
  const opened = createPool({ url: database.url, size: 3, log: createLogger("silent") });
  pool = opened;
  start = await createChangesReader(pool, 60_000).now();
  await database.query("select bellwire.notify(n::text, 'test') from generate_series(0, 99) n");
  return async () => {
    await opened.close();
    await database.close();
  };
});

/** A position that the database refuses. `parseCursor` accepts none such, but other readers must not depend on that. */
const refused = (): Cursor => ({ ...start, at: { xmax: 2n ** 32n, inProgress: [] } });

test("a position that the database refuses fails no other reader, and its own reader is reset", async () => {
  let queries = 0;
  const read = openReplays({ pool, knownEpoch: () => start.epoch, onRead: () => queries++ });
  const pages = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      read(i % 50 === 7 ? refused() : start, { recipientId: `${i}`, bytes: 0 }),
    ),
  );
  for (const [i, page] of pages.entries())
    if (i % 50 === 7) expect(page).toMatchObject({ isRefused: true, changes: [], unread: 1 });
    else expect(page.changes.map(({ recipientId }) => recipientId)).toEqual([`${i}`]);
  expect(queries).toBeLessThan(40);
});

test("sixty refused positions in a second keep no other reader out, and cost a few queries each", async () => {
  let queries = 0;
  pool.on("acquire", () => queries++);
  const read = openReplays({ pool, knownEpoch: () => start.epoch });
  const hostile: Promise<unknown>[] = [];
  const good: Promise<{ changes: readonly unknown[] }>[] = [];
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 6; i++) hostile.push(read(refused(), { recipientId: "hostile", bytes: 0 }));
    for (const i of [round, round + 50]) good.push(read(start, { recipientId: `${i}`, bytes: 0 }));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect((await Promise.all(good)).map(({ changes }) => changes.length)).toEqual(Array(20).fill(1));
  await Promise.all(hostile);
  expect(queries).toBeLessThan(60 * 6);
}, 60_000);

test("a recipient id that the database cannot represent fails no other reader", async () => {
  const read = openReplays({ pool, knownEpoch: () => start.epoch });
  const findStanding = createBatchedFindStanding(pool, 0);
  const strange = "\0"; // like a letter that the database's encoding cannot represent
  const issuedAt = new Date();
  const [bad, good, badToken, goodToken, noDate] = await Promise.allSettled([
    read(start, { recipientId: strange, bytes: 0 }),
    read(start, { recipientId: "1", bytes: 0 }),
    findStanding({ recipientId: strange, issuedAt }),
    findStanding({ recipientId: "1", issuedAt }),
    findStanding({ recipientId: "2", issuedAt: new Date(Number.NaN) }),
  ]);
  expect([bad.status, badToken.status, noDate.status]).toEqual(Array(3).fill("rejected"));
  expect(good).toMatchObject({ value: { changes: [{ recipientId: "1" }] } });
  expect(goodToken).toMatchObject({ value: { isRefused: false } });
});
