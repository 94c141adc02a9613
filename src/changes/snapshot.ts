/**
 * A Postgres snapshot, used as a set: the transactions whose rows a reader has.
 * Transaction `xid` is in the set when `xid < xmax` and it is not in `inProgress`.
 *
 * All functions are pure; `inProgress` is ascending, without repeats, and below `xmax`.
 * https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 */
export interface Snapshot {
  readonly xmax: bigint;
  readonly inProgress: readonly bigint[];
}

/**
 * A transaction id has 64 bits. PostgreSQL never assigns one whose low 32 bits are 0, 1 or 2, neither in a new cluster nor
 * later (src/include/access/transam.h), and `pg_snapshot` refuses such an `xmax`.
 */
export const FIRST_XID = 3n;

const lowBits = (xid: bigint) => BigInt.asUintN(32, xid);

/** Whether PostgreSQL can assign this id to a transaction. */
export const isAssignable = (xid: bigint): boolean => xid > 0n && lowBits(xid) >= FIRST_XID;

/** This id, or the next one that can be assigned. */
const nextAssignable = (xid: bigint): bigint =>
  isAssignable(xid) ? xid : xid - lowBits(xid) + FIRST_XID;

/** Reads `pg_snapshot` as text: `xmin:xmax:xip,xip,…`. */
export function parseSnapshot(text: string): Snapshot {
  const [, xmax = "", xip = ""] = text.split(":");
  return { xmax: BigInt(xmax), inProgress: xip === "" ? [] : xip.split(",").map(BigInt) };
}

/** Writes what `parseSnapshot` reads. */
export function formatSnapshot({ xmax, inProgress }: Snapshot): string {
  return `${inProgress[0] ?? xmax}:${xmax}:${inProgress.join(",")}`;
}

/** Whether the snapshot sees the rows that this transaction wrote, if it committed. */
export function isVisible(snapshot: Snapshot, xid: bigint): boolean {
  return xid < snapshot.xmax && !snapshot.inProgress.includes(xid);
}

/**
 * Ends the snapshot at `end`. The caller knows that no transaction from `end` on has written a row, so the snapshot still has the
 * same rows.
 *
 * A position must end at the newest row, not at the server's newest transaction. If a transaction rolls back, and the server
 * crashes before the abort is on disk, PostgreSQL may assign the same id again. It never does so with an id below that of a
 * committed row.
 *
 * This is the only `xmax` that is computed and not read from the server. So it is rounded up to an assignable id.
 */
export function truncate(snapshot: Snapshot, end: bigint): Snapshot {
  const xmax = nextAssignable(end);
  if (xmax >= snapshot.xmax) return snapshot;
  return { xmax, inProgress: snapshot.inProgress.filter((xid) => xid < xmax) };
}

/** The transactions in either set: the position of a reader that has both. */
export function union(a: Snapshot, b: Snapshot): Snapshot {
  const [longer, shorter] = a.xmax >= b.xmax ? [a, b] : [b, a];
  if (longer.inProgress.length === 0) return longer;
  const inProgress = longer.inProgress.filter((xid) => !isVisible(shorter, xid));
  return { xmax: longer.xmax, inProgress };
}

/** Whether every transaction in `a` is in `b`. */
export function isSubset(a: Snapshot, b: Snapshot): boolean {
  return a.xmax <= b.xmax && !b.inProgress.some((xid) => isVisible(a, xid));
}
