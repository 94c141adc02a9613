import type { Mark } from "./inbox.ts";
import type { Status } from "./keep-trying.ts";
import { type BellOptions, type BellSnapshot, followRecipient } from "./recipient.ts";
import type { Notification } from "./wire.ts";

export { Failure, type FailureKind } from "./api.ts";
export type { Status } from "./keep-trying.ts";
export type { BellOptions, BellSnapshot } from "./recipient.ts";
export type { Notification, Preferences } from "./wire.ts";

interface Listeners {
  /** A notification that has just come, once: for toasts and sounds. */
  notification: (notification: Notification) => void;
  state: (snapshot: BellSnapshot) => void;
  status: (status: Status) => void;
}

export type Bell = ReturnType<typeof createBell>;

/**
 * The bell of the page's user: a store with the newest notifications, their counts and the connection's status. It begins at once, and starts over,
 * empty, when another user signs in. A change of the user's is shown at once. It is taken back, and its promise rejects with a `Failure`, if the
 * service refuses it or is not reached.
 */
export function createBell(options: BellOptions) {
  const { transport = "sse" } = options;
  if (transport !== "sse" && transport !== "poll")
    throw new TypeError('The transport is "sse" or "poll".');
  const listeners: { [Name in keyof Listeners]: Set<Listeners[Name]> } = {
    notification: new Set(),
    state: new Set(),
    status: new Set(),
  };
  let snapshot: BellSnapshot | undefined;
  let recipient = begin();

  function begin() {
    return followRecipient({
      ...options,
      onSnapshot(next) {
        const isOther = next.status !== snapshot?.status;
        snapshot = next;
        tell(listeners.state, next);
        if (isOther) tell(listeners.status, next.status);
      },
      onNotification(notification) {
        tell(listeners.notification, notification);
      },
      onOtherRecipient() {
        recipient.close();
        recipient = begin();
      },
    });
  }

  function on<Name extends keyof Listeners>(name: Name, listener: Listeners[Name]): () => void {
    listeners[name].add(listener);
    return () => void listeners[name].delete(listener);
  }

  return {
    /** Calls `listener` after each change of the snapshot. Returns the function that ends that. */
    subscribe: (listener: () => void) => on("state", () => listener()),

    /** The same object until the listeners are called again. */
    getSnapshot: () => snapshot as BellSnapshot,

    on,

    markAsRead: (id: string) => recipient.mark(id, read(now()), { read: true }),
    markAsUnread: (id: string) =>
      recipient.mark(id, (each) => ({ ...each, readAt: null }), { read: false }),
    archive: (id: string) =>
      recipient.mark(id, (each) => ({ ...each, archivedAt: now() }), { archived: true }),
    markAllAsRead: () => recipient.markAll(true, read(now())),
    markAllAsSeen: () => recipient.markAll(false, seen(now())),

    /** Adds the next page of older notifications. */
    loadMore: () => recipient.loadMore(),

    /** Asks for the muted types. Until then `preferences` is undefined. */
    loadPreferences: () => recipient.loadPreferences(),

    /** A muted type makes no more notifications for this user. */
    setMuted: (type: string, isMuted: boolean) => recipient.setMuted(type, isMuted),

    /** Ends the connection, or the place among the tabs. */
    close: () => recipient.close(),
  };
}

/** What a listener throws is reported as any error of the page, and keeps neither the bell nor another listener from going on. */
function tell<Value>(listeners: Iterable<(value: Value) => void>, value: Value): void {
  for (const listener of listeners)
    try {
      listener(value);
    } catch (error) {
      setTimeout(() => {
        throw error;
      });
    }
}

const now = () => new Date().toISOString();

const seen =
  (at: string): Mark =>
  (each) => ({ ...each, seenAt: each.seenAt ?? at });

const read =
  (at: string): Mark =>
  (each) => ({ ...seen(at)(each), readAt: each.readAt ?? at });
