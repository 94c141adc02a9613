import { type Cursor, type Stage, stageOf } from "./cursor.ts";
import type { Counts, Notification } from "./notification.ts";
import { parseSnapshot, type Snapshot, truncate } from "./snapshot.ts";

/** A notification that a snapshot could not see, or not as it is now. */
export interface Change extends Notification {
  /** It was inserted since; otherwise only its state changed. */
  readonly isNew: boolean;
  readonly createdXid: bigint;
  readonly changedXid: bigint;
}

/** A notification that a recipient has had, or may have, and no longer has: deleted, or given to another. */
export interface Removal {
  readonly id: bigint;
  readonly recipientId: string;
  readonly removedXid: bigint;
}

/** A mark-all, for what its reader has up to `before` that is neither read nor archived. */
export interface MarkAll {
  readonly recipientId: string;
  readonly markedXid: bigint;
  readonly before: bigint;
  /** Where it was not seen. */
  readonly seenAt: string;
  /** Null where it marked as seen. */
  readonly readAt: string | null;
}

/** What a page has, in the order of `STAGES`. */
export interface Content {
  /** One of a recipient at the most. */
  readonly marked: readonly MarkAll[];
  readonly removed: readonly Removal[];
  readonly rows: readonly Change[];
}

/** One page of a read: what `from` could not see and `upto` can, in the order of `Place`. What was changed may be later. */
export interface Changes extends Content {
  readonly epoch: string;
  readonly from: Snapshot;
  readonly upto: Snapshot;
  /** Where a reader is who has everything there is now: `upto`, but of a page that goes on with an earlier read. */
  readonly present: Snapshot;
  /** Nothing of this read is left after this page. */
  readonly isLast: boolean;
  /** How much the read had left, this page included. */
  readonly remaining: number;
  /** Recipients revoked since `from`; in a recipient's own read itself at the most. */
  readonly revoked: readonly string[];
  /** In a read for all: of the recipients some of whose rows here were changed or removed, at `moment`. */
  readonly counts: ReadonlyMap<string, Counts>;
  /** When this page was read. */
  readonly moment: Snapshot;
  /** For how long no wake-ups will be sent from then on: 0 when they are, Infinity when they are suspended for good. */
  readonly suspendedMs: number;
  /**
   * `from` is of another history: a restore or a failover lies between. Then there are no rows, and `upto` is where
   * to go on.
   */
  readonly isForeign: boolean;
  /** Notifications that `from` had not seen have been pruned since: the read may lack some. */
  readonly isExpired: boolean;
}

export interface RecipientChanges extends Changes, Counts {
  /** The database does not take the position. Then there are no rows, and `upto` is where to go on. */
  readonly isRefused?: boolean;
  /** How many new rows the read had left, this page included. */
  readonly fresh: number;
}

/** `bytes` is what the page takes; where it has no row, what its first would. */
export type RecipientPage = RecipientChanges & { readonly bytes: number };

/** What `bellwire.changes_since()` returns: a head, then a page. */
export interface Head {
  epoch: string;
  snapshot: string;
  newest: string;
  is_expired: boolean;
  remaining: string;
  /** Of `changes_for()`. */
  bytes?: string;
  revoked: string[];
  suspended_ms: number;
  unread: string | null;
  unseen: string | null;
  /** In `bellwire.changes_for()` alone. */
  fresh?: string;
  id: null;
}

export interface PageRow {
  unread: string | null;
  unseen: string | null;
  stage: number;
  id: string;
  recipient_id: string;
  type: string | null;
  actor_id: string | null;
  title: string | null;
  body: string | null;
  link: string | null;
  data: string;
  is_cut: boolean;
  created_at: string;
  seen_at: string | null;
  read_at: string | null;
  archived_at: string | null;
  created_xid: string;
  changed_xid: string;
}

/** Whether the database has a history that the cursor's transactions are not of. */
export function isForeign(head: Head, { epoch, at, reading }: Cursor): boolean {
  return head.epoch !== epoch || parseSnapshot(head.snapshot).xmax < (reading?.upto ?? at).xmax;
}

/** `start` is not the read's moment, which ends at the server's newest transaction (see `truncate`). */
export const toForeign = (head: Head, from: Cursor, start: Cursor): Changes => ({
  ...toChanges(head, [], from),
  epoch: start.epoch,
  upto: start.at,
  present: start.at,
  isLast: true,
  remaining: 0,
  isForeign: true,
});

export function toChanges(head: Head, page: readonly PageRow[], { at, reading }: Cursor): Changes {
  const moment = parseSnapshot(head.snapshot);
  const present = reached(at, moment, head.newest);
  const remaining = Number(head.remaining);
  const of = (name: Stage) => page.filter(({ stage }) => stageOf(stage) === name);
  const [marked, removed] = [of("marked"), of("removed")];
  return {
    epoch: head.epoch,
    from: at,
    upto: reading?.upto ?? present,
    present,
    moment,
    marked: marked.map(toMarkAll),
    removed: removed.map(toRemoval),
    rows: page.slice(marked.length + removed.length).map(toChange),
    isLast: remaining <= page.length,
    remaining,
    revoked: head.revoked,
    counts: countsOf(page),
    suspendedMs: head.suspended_ms,
    isForeign: false,
    isExpired: head.is_expired,
  };
}

/** Where a read from `from` ends: at its snapshot, cut to the newest row it found (see `truncate`). */
export function reached(from: Snapshot, now: Snapshot, newest: string): Snapshot {
  const end = BigInt(newest) + 1n;
  return truncate(now, end > from.xmax ? end : from.xmax);
}

function countsOf(page: readonly PageRow[]): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  for (const { recipient_id, unread, unseen } of page)
    if (unread !== null)
      counts.set(recipient_id, { unread: Number(unread), unseen: Number(unseen) });
  return counts;
}

const toMarkAll = (row: PageRow): MarkAll => ({
  recipientId: row.recipient_id,
  markedXid: BigInt(row.changed_xid),
  before: BigInt(row.id),
  seenAt: row.seen_at ?? "",
  readAt: row.read_at,
});

const toRemoval = (row: PageRow): Removal => ({
  id: BigInt(row.id),
  recipientId: row.recipient_id,
  removedXid: BigInt(row.changed_xid),
});

const toChange = (row: PageRow): Change => ({
  id: BigInt(row.id),
  recipientId: row.recipient_id,
  type: row.type ?? "",
  actorId: row.actor_id,
  title: row.title,
  body: row.body,
  link: row.link,
  data: row.data,
  isCut: row.is_cut,
  createdAt: row.created_at,
  seenAt: row.seen_at,
  readAt: row.read_at,
  archivedAt: row.archived_at,
  isNew: stageOf(row.stage) === "new",
  createdXid: BigInt(row.created_xid),
  changedXid: BigInt(row.changed_xid),
});
