/** The service's JSON. Made from docs/openapi.json by test/wire.unit.test.ts. */

export interface Notification {
  id: string;
  type: string;
  /** Who caused it, if the rule says so. */
  actorId: string | null;
  title: string | null;
  body: string | null;
  link: string | null;
  /** The JSON that the rule returned, with the digits that PostgreSQL stores; `{}` if it returned none. */
  data: unknown;
  /** RFC 3339; or `infinity`, `-infinity`; or ISO 8601's expanded form for years after 9999 or before 0. */
  createdAt: string;
  seenAt: string | null;
  readAt: string | null;
  archivedAt: string | null;
  /** The notification was too large for an event and is cut; `GET /{id}` returns all of it. */
  truncated?: true;
}

export interface Change {
  id: string;
  seenAt: string | null;
  readAt: string | null;
  archivedAt: string | null;
}

export interface List {
  /** Newest first. */
  notifications: Notification[];
  /** Pass it as `before` for the next page; null on the last page. */
  nextBefore: string | null;
  unread: number;
  unseen: number;
  /** A position. Pass it to the stream or to a poll, which continue exactly there. */
  cursor: string;
}

export interface Poll {
  /** New since the cursor, oldest first. */
  notifications: Notification[];
  all: {
    /** Applies to ids up to and including this one. */
    before: string;
    /** For those that were not seen before. */
    seenAt: string;
    /** For all of them; if it is absent, unread notifications stay unread. */
    readAt?: string;
  } | null;
  /** Marked since the cursor: through the API, in another tab or in psql. */
  changes: Change[];
  /** Deleted, pruned or given to another recipient. Remove them from the page before you add anything. */
  removed: string[];
  unread: number;
  unseen: number;
  /** Pass it as `since` to the next poll, or as `lastEventId` to a stream. */
  cursor: string;
  /** Why missed changes cannot be reported: fetch the list again. Null if they can. */
  reset: "cursor_unknown" | "cursor_expired" | "epoch_changed" | "too_many" | null;
}

export interface StateEvent {
  /** A mark-all. Apply it first, to every notification you hold that is neither read nor archived; later changes of them follow. */
  all?: {
    /** Applies to ids up to and including this one. */
    before: string;
    /** For those that were not seen before. */
    seenAt: string;
    /** For all of them; if it is absent, unread notifications stay unread. */
    readAt?: string;
  };
  changes: Change[];
  /** Deleted, pruned or given to another recipient. Remove them from the page before you add anything. */
  removed?: string[];
  unread: number;
  unseen: number;
}

export interface Preferences {
  /** No notifications of these types are created. */
  mutedTypes: string[];
}
