/** A notification as the service sends it. Ids are strings, times RFC 3339, or null if not set. */
export interface Notification {
  id: string;
  type: string;
  actorId: string | null;
  title: string | null;
  body: string | null;
  link: string | null;
  data: unknown;
  createdAt: string;
  seenAt: string | null;
  readAt: string | null;
  archivedAt: string | null;
  /** The service sent less than the whole of it; `GET /<id>` has the rest. */
  truncated?: true;
}

export type Marks = Pick<Notification, "seenAt" | "readAt" | "archivedAt">;

/** The recipient's, in the database. */
export interface Counts {
  unread: number;
  unseen: number;
}

/** What has changed, of all kinds; a page applies the fields in this order. */
export interface StateChange extends Counts {
  /** A mark-all, for each held notification up to the id `before` that is neither read nor archived. */
  all?: { before: string; seenAt: string; readAt?: string } | null;
  removed?: readonly string[];
  changes: readonly (Marks & { id: string })[];
}

/** One page of the list. */
export interface ListPage extends Counts {
  notifications: Notification[];
  nextBefore: string | null;
  cursor: string;
}

/** The answer to a poll. */
export interface PollAnswer extends StateChange {
  notifications: Notification[];
  cursor: string;
  reset: string | null;
}
