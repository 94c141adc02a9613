import type { Counts, ListPage, Marks, Notification, StateChange } from "./notification.ts";

/** What a page shows: the newest notifications that are not archived, newest first, as far as they were loaded. */
export interface Inbox extends Counts {
  readonly notifications: readonly Notification[];
  /** The id before which the next page of the list begins; null if there is none. */
  readonly nextBefore: string | null;
}

export const EMPTY: Inbox = { notifications: [], nextBefore: null, unread: 0, unseen: 0 };

/** Ids are numbers in text, of any length. Above zero if `a` is the newer one. */
const compareIds = (a: string, b: string) => a.length - b.length || (a < b ? -1 : 1);

const newestFirst = (notifications: Notification[]) =>
  notifications.sort((a, b) => compareIds(b.id, a.id));

const countsOf = ({ unread, unseen }: Counts): Counts => ({ unread, unseen });

export const fromList = ({ notifications, nextBefore, ...counts }: ListPage): Inbox => ({
  ...countsOf(counts),
  notifications,
  nextBefore,
});

export const withMore = (
  inbox: Inbox,
  { notifications, nextBefore, ...counts }: ListPage,
): Inbox => {
  const ids = new Set(notifications.map(({ id }) => id));
  const held = inbox.notifications.filter(({ id }) => !ids.has(id));
  return {
    ...countsOf(counts),
    notifications: newestFirst([...held, ...notifications]),
    nextBefore,
  };
};

/** A notification that is new, or was given back. */
export function withNotification(inbox: Inbox, event: Notification & Counts): Inbox {
  const { unread, unseen, ...notification } = event;
  const others = inbox.notifications.filter(({ id }) => id !== notification.id);
  const notifications = notification.archivedAt ? others : newestFirst([...others, notification]);
  return { ...inbox, unread, unseen, notifications };
}

export function withState(
  inbox: Inbox,
  { all, removed = [], changes, ...counts }: StateChange,
): Inbox {
  const gone = new Set(removed);
  const marksById = new Map(changes.map((change) => [change.id, change]));
  const notifications = inbox.notifications
    .map((held) => (all ? markedBy(held, all) : held))
    .filter(({ id }) => !gone.has(id))
    .map((held) => marked(held, marksById.get(held.id)))
    .filter(({ archivedAt }) => archivedAt === null);
  return { ...inbox, ...countsOf(counts), notifications };
}

function markedBy(held: Notification, all: NonNullable<StateChange["all"]>): Notification {
  if (held.readAt !== null || compareIds(held.id, all.before) > 0) return held;
  return { ...held, seenAt: held.seenAt ?? all.seenAt, readAt: all.readAt ?? null };
}

const marked = (held: Notification, marks: Marks | undefined): Notification =>
  marks
    ? { ...held, seenAt: marks.seenAt, readAt: marks.readAt, archivedAt: marks.archivedAt }
    : held;

/** The inbox as it will be after this mark of the user's, before the service has answered. */
export function withMarks(inbox: Inbox, id: string, marks: Partial<Marks>): Inbox {
  const held = inbox.notifications.find((each) => each.id === id);
  if (!held) return inbox;
  const next = { ...held, ...marks };
  const count = (is: (each: Notification) => boolean) => Number(is(next)) - Number(is(held));
  return {
    ...inbox,
    unread: Math.max(0, inbox.unread + count(isUnread)),
    unseen: Math.max(0, inbox.unseen + count(isUnseen)),
    notifications: inbox.notifications
      .map((each) => (each.id === id ? next : each))
      .filter(({ archivedAt }) => archivedAt === null),
  };
}

const isUnread = ({ readAt, archivedAt }: Notification) => readAt === null && archivedAt === null;
const isUnseen = (each: Notification) => each.seenAt === null && isUnread(each);

/** All of them seen, and read as well if `read`. */
export const withAllMarked = (inbox: Inbox, at: string, read: boolean): Inbox => ({
  ...inbox,
  unread: read ? 0 : inbox.unread,
  unseen: 0,
  notifications: inbox.notifications.map((each) => ({
    ...each,
    seenAt: each.seenAt ?? at,
    readAt: each.readAt ?? (read ? at : null),
  })),
});
