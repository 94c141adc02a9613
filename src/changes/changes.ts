import type { Counts, Notification } from "./notification.ts";
import type { Snapshot } from "./snapshot.ts";

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
  readonly changes: readonly Change[];
}

/** One page of a read: what `from` could not see and `upto` can, in the order of `Place`. What was changed may be later. */
export interface Page extends Content {
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

export interface RecipientPage extends Page, Counts {
  /** The database does not take the position. Then there are no rows, and `upto` is where to go on. */
  readonly isRefused?: boolean;
  /** How many new rows the read had left, this page included. */
  readonly remainingNew: number;
}

/** `bytes` is what the page takes; where it has no row, what its first would. */
export type MeasuredPage = RecipientPage & { readonly bytes: number };
