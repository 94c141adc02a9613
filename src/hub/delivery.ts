import type { Change, Changes } from "../db/changes.ts";
import type { Cursor, Place } from "../db/cursor.ts";
import type { Counts } from "../db/notification.ts";
import { isSubset, isVisible, type Snapshot, union } from "../db/snapshot.ts";

/** One event for one recipient, and the position of a stream that has sent it. */
export type Delivered = (
  | { readonly kind: "notification"; readonly row: Change }
  | { readonly kind: "state"; readonly rows: readonly Change[] }
) & { readonly counts: Counts; readonly cursor: Cursor };

/** What one page of a read gave one recipient; every stream of the recipient shares it. */
export interface Delivery extends Pick<Changes, "epoch" | "from" | "upto" | "rows" | "isLast"> {
  readonly events: readonly Delivered[];
  /** The recipient's, behind all of them. */
  readonly counts: Counts;
}

/** Changed rows in one `state` event: 100 make about 12 KB. */
const ROWS_PER_STATE_EVENT = 100;

type Page = Pick<Changes, "epoch" | "from" | "upto" | "isLast">;

/** Makes the events of a page's rows, in its order. The last event of a read's last page ends at `upto`. */
export function createDelivery(
  { epoch, from, upto, isLast }: Page,
  rows: readonly Change[],
  { unread, unseen }: Counts,
): Delivery {
  const counts = { unread, unseen };
  const groups = group(rows);
  const events = groups.map((members, i): Delivered => {
    const row = members.at(-1) as Change;
    const place: Place = { changed: !row.isNew, id: row.id };
    const isEnd = isLast && i === groups.length - 1;
    const cursor = isEnd ? { epoch, at: upto } : { epoch, at: from, reading: { upto, place } };
    return row.isNew
      ? { kind: "notification", row, counts, cursor }
      : { kind: "state", rows: members, counts, cursor };
  });
  return { epoch, from, upto, rows, isLast, events, counts };
}

/** New rows alone, changed rows in groups. */
function group(rows: readonly Change[]): Change[][] {
  const firstChanged = rows.findIndex((row) => !row.isNew);
  const end = firstChanged === -1 ? rows.length : firstChanged;
  const groups = rows.slice(0, end).map((row) => [row]);
  for (let i = end; i < rows.length; i += ROWS_PER_STATE_EVENT)
    groups.push(rows.slice(i, i + ROWS_PER_STATE_EVENT));
  return groups;
}

/**
 * What of a delivery a stream at `at` does not have. Nearly always the delivery itself: only a stream whose replay
 * has read past the feed has some of it already. Undefined where the stream must read for itself: rows
 * that are new to the feed and only changed for the stream come later in the stream's order, and this
 * page, not its read's last, does not show what comes between.
 */
export function narrow(delivery: Delivery, at: Snapshot): Delivery | undefined {
  if (isSubset(at, delivery.from)) return delivery;
  const missing = delivery.rows.filter((row) => !isVisible(at, row.changedXid));
  const isNewHere = (row: Change) => !isVisible(at, row.createdXid);
  if (!delivery.isLast && missing.some((row) => row.isNew && !isNewHere(row))) return undefined;
  const rows = missing.map((row) => ({ ...row, isNew: row.isNew && isNewHere(row) }));
  rows.sort((a, b) => Number(b.isNew) - Number(a.isNew) || (a.id < b.id ? -1 : 1));
  const page = { ...delivery, from: at, upto: union(at, delivery.upto) };
  return createDelivery(page, rows, delivery.counts);
}
