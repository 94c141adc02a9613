import type { Counts, Notification } from "./notification.ts";
import type { Snapshot } from "./snapshot.ts";

/** A notification that a reader has not seen yet, or not in its present state. */
export interface Change extends Notification {
  /** It was inserted since the reader's position; otherwise only its state changed. */
  readonly isNew: boolean;
  readonly createdXid: bigint;
  readonly changedXid: bigint;
}

/** A notification that a recipient no longer has: it was deleted, or given to another recipient. The reader may never have seen it. */
export interface Removal {
  readonly id: bigint;
  readonly recipientId: string;
  readonly removedXid: bigint;
}

/** A mark-all. It applies to every notification up to `before` that its reader holds and that is neither read nor archived. */
export interface MarkAll {
  readonly recipientId: string;
  readonly markedXid: bigint;
  readonly before: bigint;
  /** For those that were not seen yet. */
  readonly seenAt: string;
  /** Null when it only marked as seen. */
  readonly readAt: string | null;
}

/** What a page brings, in the order of `STAGES`. */
export interface Content {
  /** At most one for each recipient. */
  readonly marked: readonly MarkAll[];
  readonly removed: readonly Removal[];
  readonly changes: readonly Change[];
}

/**
 * One page of a read. The read covers what `from` cannot see and `upto` can, ordered by `Place`. A changed row may already be
 * in a state later than `upto`.
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
  /** How long wake-ups stay suspended from then on: 0 when they are sent, Infinity when suspended for good. */
  readonly suspendedMs: number;
  /**
   * `from` belongs to another history, because of a restore or a failover. Then the page has no rows, and the reader goes on
   * from `upto`.
   */
  readonly isForeign: boolean;
  /** Notifications that `from` has not seen have been pruned, so the read may lack some. */
  readonly isExpired: boolean;
}

export interface RecipientPage extends Page, Counts {
  /** The database rejects the position. Then the page has no rows, and the reader goes on from `upto`. */
  readonly isRefused?: boolean;
  /** How many new rows the read had left, including this page. */
  readonly remainingNew: number;
}

/** `bytes` is the page's size. When even the first row did not fit, `bytes` is that row's size, and the page has no rows. */
export type MeasuredPage = RecipientPage & { readonly bytes: number };
