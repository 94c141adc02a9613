import type { Change, Content, MarkAll, Page, Removal } from "../changes/changes.ts";
import type { Cursor, Place, Stage } from "../changes/cursor.ts";
import type { Counts } from "../changes/notification.ts";
import { isSubset, isVisible, type Snapshot, union } from "../changes/snapshot.ts";

/** In a `state` one of the three. */
type Said =
  | { readonly kind: "notification"; readonly row: Change }
  | {
      readonly kind: "state";
      readonly all?: MarkAll;
      readonly removed: readonly Removal[];
      readonly rows: readonly Change[];
    };

/** One event for one recipient, and the position of a stream that has sent it. */
export type RecipientEvent = Said & { readonly counts: Counts; readonly cursor: Cursor };

/** What one page of a read gave one recipient; every stream of the recipient shares it. */
export interface EventPage extends Required<PageHead>, Content {
  readonly events: readonly RecipientEvent[];
  /** The recipient's, behind all of them. */
  readonly counts: Counts;
}

/**
 * In one `state` event: 100 changed rows make about 12 KB, 200 ids of removed ones 2 KB. A prune takes thousands, and whoever
 * is cut again and again gets on by whole events.
 */
const CHANGES_PER_EVENT = 100;
const REMOVALS_PER_EVENT = 200;

interface PageHead extends Pick<Page, "epoch" | "from" | "upto" | "isLast" | "moment"> {
  /** When it was asked for, in milliseconds of `performance.now()`; undefined in a stream's own read. */
  readonly askedAt?: number;
}

/** Makes the events of what a page has, in its order. The last event of a read's last page ends at `upto`. */
export function createEventPage(
  page: PageHead,
  { marked, removed, rows }: Content,
  { unread, unseen }: Counts,
): EventPage {
  const { epoch, from, upto, isLast, moment, askedAt = 0 } = page;
  const counts = { unread, unseen };
  const sayings = [...inEvents({ marked, removed, rows })];
  const events = sayings.map(({ place, ...said }, i): RecipientEvent => {
    const isEnd = isLast && i === sayings.length - 1;
    const cursor = isEnd ? { epoch, at: upto } : { epoch, at: from, reading: { upto, place } };
    return { ...said, counts, cursor };
  });
  return { epoch, from, upto, isLast, moment, askedAt, marked, removed, rows, events, counts };
}

/** A mark-all and new rows alone, what was removed or changed in groups. */
function* inEvents({ marked, removed, rows }: Content): Generator<Said & { place: Place }> {
  for (const all of marked)
    yield { kind: "state", all, removed: [], rows: [], place: { stage: "marked", id: all.before } };
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
 * has read past the feed has some of it already. Undefined where the stream must read for itself: whether a mark-all can be
 * told as one depends on what the stream has; and rows that are new to the feed and only changed for the stream come later in
 * the stream's order, and this page, not its read's last, does not show what comes between.
 */
export function narrow(delivery: EventPage, at: Snapshot): EventPage | undefined {
  if (isSubset(at, delivery.from)) return delivery;
  if (delivery.marked.some(({ markedXid }) => !isVisible(at, markedXid))) return undefined;
  const removed = delivery.removed.filter(({ removedXid }) => !isVisible(at, removedXid));
  const missing = delivery.rows.filter((row) => !isVisible(at, row.changedXid));
  const isNewHere = (row: Change) => !isVisible(at, row.createdXid);
  if (!delivery.isLast && missing.some((row) => row.isNew && !isNewHere(row))) return undefined;
  const rows = missing.map((row) => ({ ...row, isNew: row.isNew && isNewHere(row) }));
  rows.sort((a, b) => Number(b.isNew) - Number(a.isNew) || (a.id < b.id ? -1 : 1));
  const page = { ...delivery, from: at, upto: union(at, delivery.upto) };
  return createEventPage(page, { marked: [], removed, rows }, delivery.counts);
}
