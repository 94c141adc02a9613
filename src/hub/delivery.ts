import type { Change, Changes, Removal } from "../db/changes.ts";
import type { Cursor, Place, Stage } from "../db/cursor.ts";
import type { Counts } from "../db/notification.ts";
import { isSubset, isVisible, type Snapshot, union } from "../db/snapshot.ts";

/** One event for one recipient, and the position of a stream that has sent it. */
export type Delivered = (
  | { readonly kind: "notification"; readonly row: Change }
  | {
      readonly kind: "state";
      readonly removed: readonly Removal[];
      readonly rows: readonly Change[];
    }
) & { readonly counts: Counts; readonly cursor: Cursor };

/** What one page of a read gave one recipient; every stream of the recipient shares it. */
export interface Delivery extends Page, Pick<Changes, "removed" | "rows"> {
  readonly events: readonly Delivered[];
  /** The recipient's, behind all of them. */
  readonly counts: Counts;
}

/**
 * In one `state` event: 100 changed rows make about 12 KB, 200 ids of removed ones 2 KB. A prune takes thousands, and whoever
 * is cut again and again gets on by whole events.
 */
const CHANGES_PER_EVENT = 100;
const REMOVALS_PER_EVENT = 200;

type Page = Pick<Changes, "epoch" | "from" | "upto" | "isLast">;

type Content = { readonly place: Place } & (
  | { readonly kind: "notification"; readonly row: Change }
  | {
      readonly kind: "state";
      readonly removed: readonly Removal[];
      readonly rows: readonly Change[];
    }
);

/** Makes the events of what a page has, in its order. The last event of a read's last page ends at `upto`. */
export function createDelivery(
  { epoch, from, upto, isLast }: Page,
  removed: readonly Removal[],
  rows: readonly Change[],
  { unread, unseen }: Counts,
): Delivery {
  const counts = { unread, unseen };
  const contents = [...contentsOf(removed, rows)];
  const events = contents.map(({ place, ...content }, i): Delivered => {
    const isEnd = isLast && i === contents.length - 1;
    const cursor = isEnd ? { epoch, at: upto } : { epoch, at: from, reading: { upto, place } };
    return { ...content, counts, cursor };
  });
  return { epoch, from, upto, removed, rows, isLast, events, counts };
}

/** New rows alone, what was removed or changed in groups. */
function* contentsOf(removed: readonly Removal[], rows: readonly Change[]): Generator<Content> {
  for (const group of inGroups(removed, REMOVALS_PER_EVENT))
    yield { kind: "state", removed: group, rows: [], place: endOfStage("removed", group) };
  const changed = rows.filter((row) => !row.isNew);
  for (const row of rows)
    if (row.isNew) yield { kind: "notification", row, place: { stage: "new", id: row.id } };
  for (const group of inGroups(changed, CHANGES_PER_EVENT))
    yield { kind: "state", removed: [], rows: group, place: endOfStage("changed", group) };
}

function* inGroups<Item>(items: readonly Item[], size: number): Generator<readonly Item[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size);
}

const endOfStage = (stage: Stage, group: readonly { readonly id: bigint }[]): Place => ({
  stage,
  id: group.at(-1)?.id ?? 0n,
});

/**
 * What of a delivery a stream at `at` does not have. Nearly always the delivery itself: only a stream whose replay
 * has read past the feed has some of it already. Undefined where the stream must read for itself: rows
 * that are new to the feed and only changed for the stream come later in the stream's order, and this
 * page, not its read's last, does not show what comes between.
 */
export function narrow(delivery: Delivery, at: Snapshot): Delivery | undefined {
  if (isSubset(at, delivery.from)) return delivery;
  const removed = delivery.removed.filter(({ removedXid }) => !isVisible(at, removedXid));
  const missing = delivery.rows.filter((row) => !isVisible(at, row.changedXid));
  const isNewHere = (row: Change) => !isVisible(at, row.createdXid);
  if (!delivery.isLast && missing.some((row) => row.isNew && !isNewHere(row))) return undefined;
  const rows = missing.map((row) => ({ ...row, isNew: row.isNew && isNewHere(row) }));
  rows.sort((a, b) => Number(b.isNew) - Number(a.isNew) || (a.id < b.id ? -1 : 1));
  const page = { ...delivery, from: at, upto: union(at, delivery.upto) };
  return createDelivery(page, removed, rows, delivery.counts);
}
