import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatSnapshot,
  isSubset,
  isVisible,
  parseSnapshot,
  type Snapshot,
  truncate,
  union,
} from "../../src/changes/snapshot.ts";

/** Small numbers, so that sets overlap often. */
const snapshots = fc
  .record({
    xmax: fc.integer({ min: 3, max: 40 }),
    holes: fc.uniqueArray(fc.integer({ min: 1, max: 39 })),
  })
  .map(({ xmax, holes }): Snapshot => {
    const inProgress = holes.filter((xid) => xid < xmax).sort((a, b) => a - b);
    return { xmax: BigInt(xmax), inProgress: inProgress.map(BigInt) };
  });

const XIDS = Array.from({ length: 45 }, (_, i) => BigInt(i + 1));
const members = (snapshot: Snapshot) => XIDS.filter((xid) => isVisible(snapshot, xid));

describe("a snapshot", () => {
  test("is read from PostgreSQL's text, and written as it", () => {
    expect(parseSnapshot("10:20:10,14")).toEqual({ xmax: 20n, inProgress: [10n, 14n] });
    expect(parseSnapshot("816:816:")).toEqual({ xmax: 816n, inProgress: [] });
    fc.assert(
      fc.property(snapshots, (s) => {
        expect(parseSnapshot(formatSnapshot(s))).toEqual(s);
      }),
    );
  });

  test("united with another has exactly the members of both", () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        const either = XIDS.filter((xid) => isVisible(a, xid) || isVisible(b, xid));
        expect(members(union(a, b))).toEqual(either);
      }),
    );
  });

  test("cut at an end loses the transactions at or past it, and no others", () => {
    fc.assert(
      fc.property(snapshots, fc.integer({ min: 3, max: 45 }), (s, end) => {
        const below = members(s).filter((xid) => xid < BigInt(end));
        expect(members(truncate(s, BigInt(end)))).toEqual(below);
      }),
    );
  });

  test("is called a subset of another only when it is one", () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        if (isSubset(a, b)) expect(members(a).every((xid) => isVisible(b, xid))).toBe(true);
      }),
    );
    fc.assert(fc.property(snapshots, (s) => isSubset(s, s)));
  });
});
