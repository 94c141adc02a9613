import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Cursor,
  createCursorEncoder,
  encodeCursor,
  parseCursor,
  STAGES,
  type Stage,
} from "../../src/changes/cursor.ts";
import { isAssignable, isSubset, type Snapshot } from "../../src/changes/snapshot.ts";

const FORM = /^[A-Za-z0-9._-]{1,128}$/;
const epochs = fc.stringMatching(/^[0-9a-f]{8}$/);

/** Up to 400 transactions in progress below any end a cluster can reach. */
const snapshots = fc
  .record({
    xmax: fc.bigInt({ min: 1_000_000n, max: 2n ** 60n }),
    gaps: fc.array(fc.bigInt({ min: 1n, max: 2000n }), { maxLength: 400 }),
  })
  .map(({ xmax, gaps }): Snapshot => {
    let xid = xmax;
    return { xmax, inProgress: gaps.map((gap) => (xid -= gap)).reverse() };
  })
  .filter(({ xmax, inProgress }) => [xmax, ...inProgress].every(isAssignable));

const plain = fc.record({ epoch: epochs, at: snapshots });
const withinRead = fc
  .record({
    epoch: epochs,
    at: snapshots,
    ahead: fc.bigInt({ min: 0n, max: 5000n }),
    stage: fc.constantFrom<Stage>(...STAGES),
    id: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  })
  .map(({ epoch, at, ahead, stage, id }): Cursor => {
    const upto = { xmax: at.xmax + ahead, inProgress: at.inProgress.slice(0, 3) };
    return { epoch, at, reading: { upto, place: { stage, id } } };
  })
  .filter(({ reading }) => isAssignable(reading?.upto.xmax ?? 0n));

/** Cursors of a few reads, in any order: each has its epoch and snapshots in common with others. */
const mixed = fc
  .record({
    epochs: fc.array(epochs, { minLength: 2, maxLength: 2 }),
    snapshots: fc.array(snapshots, { minLength: 3, maxLength: 3 }),
    picks: fc.array(
      fc.record({
        epoch: fc.nat(1),
        at: fc.nat(2),
        upto: fc.option(fc.nat(2)),
        stage: fc.constantFrom<Stage>(...STAGES),
        id: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      }),
      { minLength: 2, maxLength: 20 },
    ),
  })
  .map(({ epochs, snapshots, picks }) =>
    picks.map(({ epoch, at, upto, stage, id }): Cursor => {
      const position = { epoch: epochs[epoch] as string, at: snapshots[at] as Snapshot };
      if (upto === null) return position;
      const place = { stage, id };
      return { ...position, reading: { upto: snapshots[upto] as Snapshot, place } };
    }),
  );

describe("a cursor", () => {
  test("is the same after others of the same reads", () => {
    fc.assert(
      fc.property(mixed, (cursors) => {
        expect(cursors.map(createCursorEncoder())).toEqual(cursors.map((c) => encodeCursor(c)));
      }),
    );
  });

  test("looks like this", () => {
    const at = { xmax: 1000n, inProgress: [990n, 997n] };
    expect(encodeCursor({ epoch: "4a9a6061", at })).toBe("v1.4a9a6061.rs.3-7_");
    const reading = {
      upto: { xmax: 1003n, inProgress: [990n] },
      place: { stage: "new" as const, id: 71n },
    };
    expect(encodeCursor({ epoch: "4a9a6061", at, reading })).toBe("v1.4a9a6061.rv.d.3.3-7.n1z_");
  });

  test("is always an id of at most 128 safe characters", () => {
    fc.assert(
      fc.property(fc.oneof(plain, withinRead), (cursor) => {
        expect(encodeCursor(cursor)).toMatch(FORM);
      }),
    );
  });

  test("that fits is parsed as it was", () => {
    const few = fc.oneof(plain, withinRead).filter(({ at }) => at.inProgress.length <= 12);
    fc.assert(
      fc.property(few, (cursor) => {
        expect(parseCursor(encodeCursor(cursor))).toEqual(cursor);
      }),
    );
  });

  test("that does not fit is parsed as an earlier one: no row is lost, and some may be repeated", () => {
    fc.assert(
      fc.property(fc.oneof(plain, withinRead), (cursor) => {
        const back = parseCursor(encodeCursor(cursor));
        expect(back?.epoch).toBe(cursor.epoch);
        expect(back && isSubset(back.at, cursor.at)).toBe(true);
        if (back?.reading) expect(back).toEqual(cursor);
      }),
    );
  });

  test("cut short anywhere is no cursor", () => {
    fc.assert(
      fc.property(fc.oneof(plain, withinRead), (cursor) => {
        const text = encodeCursor(cursor);
        const cuts = Array.from(text, (_, length) => text.slice(0, length));
        expect(cuts.filter((cut) => parseCursor(cut) !== undefined)).toEqual([]);
      }),
    );
  });

  test("names only assignable transactions: PostgreSQL assigns no id whose low 32 bits are 0, 1 or 2", () => {
    const high = fc.bigInt({ min: 0n, max: 2n ** 28n });
    fc.assert(
      fc.property(high, fc.constantFrom(0n, 1n, 2n), fc.bigInt(1n, 50n), (bits, low, ahead) => {
        const none = (bits << 32n) + low;
        const text = (xid: bigint) => xid.toString(36);
        expect(parseCursor(`v1.4a9a6061.${text(none)}._`)).toBeUndefined();
        const gap = `v1.4a9a6061.${text(none + 2n + ahead)}.${text(2n + ahead)}_`;
        expect(parseCursor(gap)).toBeUndefined();
        const lag = `v1.4a9a6061.${text(none + 2n + ahead)}..${text(2n + ahead)}..n5_`;
        expect(parseCursor(lag)).toBeUndefined();
      }),
    );
  });

  test.each([
    "",
    "abc",
    "0",
    "-1",
    "1e30",
    "unknown",
    "v1",
    "v1.4a9a6061_",
    "v1.4a9a6061.rs_",
    "v2.4a9a6061.rs._",
    "v1.4A9A6061.rs._",
    "v1.4a9a60612.rs._",
    "v1.4a9a6061.-1._",
    "v1.4a9a6061.rs.0_",
    "v1.4a9a6061.rs.-_",
    "v1.4a9a6061.rs.1-_",
    "v1.4a9a6061.rs.zzzz_",
    "v1.4a9a6061.0._",
    "v1.4a9a6061.rs..1._",
    "v1.4a9a6061.rs..1..x1_",
    "v1.4a9a6061.rs..zzzz..n1_",
    "v1.4a9a6061.rs..1..nzzzzzzzzzzzzz_",
    "v1.4a9a6061.rs.",
    "v1.4a9a6061.rs._.",
    "v1.4a9a6061.rs.__",
    "_",
    "v1.4a9a6061.rs._\n",
    "v1.4a9a6061.rs._ ",
    "' or 1=1 --",
    "v1.4a9a6061.rs.'_",
    "\u0000",
    "١",
    `v1.4a9a6061.rs.${"1-".repeat(100)}1_`,
    "x".repeat(10_000),
  ])("refuses %j", (text) => {
    expect(parseCursor(text)).toBeUndefined();
  });

  test("is parsed or undefined for any text, and never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        const cursor = parseCursor(text);
        if (cursor) expect(encodeCursor(cursor)).toMatch(FORM);
      }),
    );
  });
});
