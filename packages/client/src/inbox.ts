import type { List, Notification, Poll } from "./wire.ts";

type Counts = Pick<List, "unread" | "unseen">;

/** What has changed: an event of the stream, a poll's answer, or a page of the list. */
export type Changes = Counts & Partial<Poll & List>;

/** What a page shows: the newest notifications that are not archived, newest first, as far as they were loaded. */
export interface Inbox extends Counts {
  readonly notifications: readonly Notification[];
  /** The id before which the next page of the list begins; null if there is none. */
  readonly nextBefore: string | null;
}

export const EMPTY: Inbox = { notifications: [], nextBefore: null, unread: 0, unseen: 0 };

/** Applies `all`, `removed`, `notifications` and `changes` in this order. */
export function after(inbox: Inbox, changes: Changes): Inbox {
  const { all, unread, unseen, nextBefore = inbox.nextBefore } = changes;
  const held = new Map(inbox.notifications.map((each) => [each.id, each]));
  if (all) for (const each of held.values()) held.set(each.id, markedByAll(each, all));
  for (const id of changes.removed ?? []) held.delete(id);
  for (const each of changes.notifications ?? []) held.set(each.id, each);
  for (const change of changes.changes ?? []) {
    const each = held.get(change.id);
    if (each) held.set(each.id, { ...each, ...change });
  }
  return { unread, unseen, nextBefore, notifications: toShow([...held.values()]) };
}

/** A mark-all, for what is neither read nor archived, up to the id `before`. */
function markedByAll(each: Notification, all: NonNullable<Poll["all"]>): Notification {
  if (each.readAt || compareIds(each.id, all.before) > 0) return each;
  return { ...each, seenAt: each.seenAt ?? all.seenAt, readAt: all.readAt ?? null };
}

const toShow = (notifications: Notification[]) =>
  notifications.filter(({ archivedAt }) => !archivedAt).sort((a, b) => compareIds(b.id, a.id));

/** Ids are numbers in text, of any length. Above zero if `a` is the newer one. */
const compareIds = (a: string, b: string) => a.length - b.length || a.localeCompare(b);

/** What the user does with a notification. What it is already stays. */
export type Mark = (each: Notification) => Notification;

/** With this mark on these ids, before the service has made it. An inbox that has it already stays the same. */
export function withMark(inbox: Inbox, ids: ReadonlySet<string>, mark: Mark): Inbox {
  const notifications = toShow(
    inbox.notifications.map((each) => (ids.has(each.id) ? mark(each) : each)),
  );
  const before = countsOf(inbox.notifications);
  const now = countsOf(notifications);
  return {
    ...inbox,
    notifications,
    unread: inbox.unread + now.unread - before.unread,
    unseen: inbox.unseen + now.unseen - before.unseen,
  };
}

/** Of those that were loaded. */
export const countsOf = (notifications: readonly Notification[]): Counts => ({
  unread: notifications.filter(({ readAt }) => !readAt).length,
  unseen: notifications.filter(({ seenAt, readAt }) => !seenAt && !readAt).length,
});
