/**
 * A Postgres snapshot as what it is here: the set of transactions whose rows a reader has.
 * Transaction `xid` is in it when `xid < xmax` and it is not in `inProgress`.
 *
 * All functions are pure; `inProgress` is ascending, without repeats, and below `xmax`.
 * https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 */
export interface Snapshot {
  readonly xmax: bigint;
  readonly inProgress: readonly bigint[];
}

/**
 * A transaction's id has 64 bits. PostgreSQL never gives one whose low 32 are 0, 1 or 2, neither at a cluster's beginning nor
 * later (src/include/access/transam.h), and `pg_snapshot` refuses such an end.
 */
export const FIRST_XID = 3n;

const lowBits = (xid: bigint) => BigInt.asUintN(32, xid);

/** Whether a transaction can have this id. */
export const isAssignable = (xid: bigint): boolean => xid > 0n && lowBits(xid) >= FIRST_XID;

/** This id, or the next that a transaction can have. */
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

/** Whether what this transaction wrote, if it committed, is in the snapshot. */
export function isVisible(snapshot: Snapshot, xid: bigint): boolean {
  return xid < snapshot.xmax && !snapshot.inProgress.includes(xid);
}

/**
 * The same set for whoever knows that no transaction at or past `end` has written a row.
 *
 * A position must end at the newest row, not at the server's newest transaction: the id of a transaction
 * that rolled back may be given again after a crash of the server, if its abort never reached the disk.
 * Ids below a committed row's are never given again.
 *
 * The one place where an end is made and not read from the server: so that it is one a transaction can have.
 */
export function truncate(snapshot: Snapshot, end: bigint): Snapshot {
  const xmax = nextAssignable(end);
  if (xmax >= snapshot.xmax) return snapshot;
  return { xmax, inProgress: snapshot.inProgress.filter((xid) => xid < xmax) };
}

/** Everything that is in either: the position of a reader who has both. */
export function union(a: Snapshot, b: Snapshot): Snapshot {
  const [longer, shorter] = a.xmax >= b.xmax ? [a, b] : [b, a];
  if (longer.inProgress.length === 0) return longer;
  const inProgress = longer.inProgress.filter((xid) => !isVisible(shorter, xid));
  return { xmax: longer.xmax, inProgress };
}

/** Whether everything in `a` is in `b`. */
export function isSubset(a: Snapshot, b: Snapshot): boolean {
  return a.xmax <= b.xmax && !b.inProgress.some((xid) => isVisible(a, xid));
}
