import type { Counts, Notification } from "./notification.ts";
import type { Snapshot } from "./snapshot.ts";

/** A notification that a reader has not seen yet, or not in its present state. */
export interface Change extends Notification {
  /** It was inserted since the reader's position; otherwise only its state changed. */
  readonly isNew: boolean;
  readonly createdXid: bigint;
  readonly changedXid: bigint;
}

/** A notification that a recipient no longer has: it was deleted, or moved to another recipient. The reader may never have had it. */
export interface Removal {
  readonly id: bigint;
  readonly recipientId: string;
  readonly removedXid: bigint;
}

/** A mark-all. It applies to every notification up to `before` that its reader has and that is neither read nor archived. */
export interface MarkAll {
  readonly recipientId: string;
  readonly markedXid: bigint;
  readonly before: bigint;
  /** For those that were not seen yet. */
  readonly seenAt: string;
  /** Null when it only marked as seen. */
  readonly readAt: string | null;
}

/** The rows of a page, in the order of `STAGES`. */
export interface Content {
  /** At most one for each recipient. */
  readonly marked: readonly MarkAll[];
  readonly removed: readonly Removal[];
  readonly changes: readonly Change[];
}

/**
 * One page of a read. The read has the rows that `from` cannot see and `upto` can, ordered by `Place`. A changed row is in its
 * present state, which may be later than `upto`.
 */
export interface Page extends Content {
  readonly epoch: string;
  readonly from: Snapshot;
  readonly upto: Snapshot;
  /** The position of a reader that has everything up to now. Equals `upto` unless the page continues an earlier read. */
  readonly present: Snapshot;
  /** This is the read's last page. */
  readonly isLast: boolean;
  /** How many rows the read had left, including this page. */
  readonly remaining: number;
  /** Recipients revoked since `from`. A recipient's own read has at most that recipient here. */
  readonly revoked: readonly string[];
  /** In a read for all: the counts, at `moment`, of each recipient with a changed or removed row on this page. */
  readonly counts: ReadonlyMap<string, Counts>;
  /** The snapshot in which the page was read. */
  readonly moment: Snapshot;
  /** How long wake-ups stay suspended after the read: 0 when they are sent, Infinity when they are suspended for good. */
  readonly suspendedMs: number;
  /**
   * `from` belongs to another history, because of a restore or a failover. Then the page has no rows, and the reader continues
   * from `upto`.
   */
  readonly isForeign: boolean;
  /** Notifications that `from` cannot see were pruned, so the read may lack some. */
  readonly isExpired: boolean;
}

export interface RecipientPage extends Page, Counts {
  /** The database rejects the position. Then the page has no rows, and the reader continues from `upto`. */
  readonly isRefused?: boolean;
  /** How many new rows the read had left, including this page. */
  readonly remainingNew: number;
}

/** `bytes` is the page's size. When even the first row did not fit, `bytes` is that row's size, and the page has no rows. */
export type MeasuredPage = RecipientPage & { readonly bytes: number };
