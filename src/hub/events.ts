import type { Change, Content, MarkAll, Page, Removal } from "../changes/changes.ts";
import type { Cursor, Place, Stage } from "../changes/cursor.ts";
import type { Counts } from "../changes/notification.ts";
import { isSubset, isVisible, type Snapshot, union } from "../changes/snapshot.ts";

interface EventHead {
  readonly counts: Counts;
  readonly cursor: Cursor;
  /** Several streams send it. */
  readonly isShared: boolean;
}

interface NotificationEvent extends EventHead {
  readonly kind: "notification";
  readonly change: Change;
}

/** It has a mark-all, removals or changes: one of the three. */
interface StateEvent extends EventHead {
  readonly kind: "state";
  readonly all?: MarkAll;
  readonly removed: readonly Removal[];
  readonly changes: readonly Change[];
}

/** One event for one recipient, and the position of a stream that has sent it. */
export type RecipientEvent = NotificationEvent | StateEvent;

/** An event whose cursor is not final yet. */
type Draft = RecipientEvent & { cursor: Cursor };

/** The events that one page gives one recipient. All streams of the recipient share them. */
export interface EventPage extends Required<PageHead>, Content {
  readonly events: readonly RecipientEvent[];
  /** The recipient's, after the last of these events. */
  readonly counts: Counts;
}

/**
 * Maximum per `state` event: 100 changes are about 12 KB, 200 ids of removed rows 2 KB. A prune removes thousands of rows. Because
 * a stream resumes after the last whole event, small events let even a stream that is cut again and again make progress.
 */
const CHANGES_PER_EVENT = 100;
const REMOVALS_PER_EVENT = 200;

interface PageHead extends Pick<Page, "epoch" | "from" | "upto" | "isLast" | "moment"> {
  /** When the feed asked for it, in milliseconds of `performance.now()`; undefined in a stream's own read. */
  readonly askedAt?: number;
}

/** Turns a page into events, in the page's order. The last event of a read's last page ends at `upto`. */
export function toEventPage(
  page: PageHead,
  { marked, removed, changes }: Content,
  { unread, unseen }: Counts,
  isShared = false,
): EventPage {
  const { epoch, from, upto, isLast, moment, askedAt = 0 } = page;
  const counts = { unread, unseen };
  const events: Draft[] = [];
  const cursorAt = (place: Place): Cursor => ({ epoch, at: from, reading: { upto, place } });
  function addState(body: Pick<StateEvent, "all" | "removed" | "changes">, place: Place) {
    events.push({ kind: "state", ...body, counts, cursor: cursorAt(place), isShared });
  }

  // One event for each mark-all and each new row; removals and changed rows in groups.
  for (const all of marked)
    addState({ all, removed: [], changes: [] }, { stage: "marked", id: all.before });
  for (const group of inGroups(removed, REMOVALS_PER_EVENT))
    addState({ removed: group, changes: [] }, endOf("removed", group));
  for (const change of changes) {
    if (!change.isNew) continue;
    const cursor = cursorAt({ stage: "new", id: change.id });
    events.push({ kind: "notification", change, counts, cursor, isShared });
  }
  const updated = changes.filter((change) => !change.isNew);
  for (const group of inGroups(updated, CHANGES_PER_EVENT))
    addState({ removed: [], changes: group }, endOf("changed", group));

  const last = events.at(-1);
  if (isLast && last) last.cursor = { epoch, at: upto };
  return { epoch, from, upto, isLast, moment, askedAt, marked, removed, changes, events, counts };
}

function* inGroups<Item>(items: readonly Item[], size: number): Generator<readonly Item[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size);
}

const endOf = (stage: Stage, group: readonly { readonly id: bigint }[]): Place => ({
  stage,
  id: group.at(-1)?.id ?? 0n,
});

/**
 * The part of a page that a stream at `at` has not sent. That is nearly always the whole page: only a stream whose replay read
 * further than the feed has already sent some of it. Undefined if the stream must read for itself, in two cases:
 *
 * - The page has a mark-all. Whether it can be sent as one event depends on the rows that the stream has.
 * - A row is new for the feed, but only changed for the stream. The stream must send it after all new rows. Unless this is its
 *   read's last page, more new rows follow on later pages.
 */
export function trimSent(page: EventPage, at: Snapshot): EventPage | undefined {
  if (isSubset(at, page.from)) return page;
  if (page.marked.some(({ markedXid }) => !isVisible(at, markedXid))) return undefined;
  const removed = page.removed.filter(({ removedXid }) => !isVisible(at, removedXid));
  const unsent = page.changes.filter((change) => !isVisible(at, change.changedXid));
  const isNewHere = (change: Change) => !isVisible(at, change.createdXid);
  if (!page.isLast && unsent.some((change) => change.isNew && !isNewHere(change))) return undefined;
  const changes = unsent.map((change) => ({
    ...change,
    isNew: change.isNew && isNewHere(change),
  }));
  changes.sort((a, b) => Number(b.isNew) - Number(a.isNew) || (a.id < b.id ? -1 : 1));
  const head = { ...page, from: at, upto: union(at, page.upto) };
  return toEventPage(head, { marked: [], removed, changes }, page.counts);
}
