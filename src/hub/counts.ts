import type { Change, Page } from "../changes/changes.ts";
import type { Counts } from "../changes/notification.ts";
import { isSubset, isVisible, type Snapshot, union } from "../changes/snapshot.ts";

/** A recipient's counts, kept up without counting again. Exact for the rows that `at` sees. */
export interface CountsAt extends Counts {
  readonly at: Snapshot;
}

/** The later of two. */
export const laterOf = (a: CountsAt | undefined, b: CountsAt): CountsAt =>
  a && isSubset(b.at, a.at) ? a : b;

/**
 * The tally behind a page that has brought these rows of the recipient, each as it was not known before. Inserts are added; where
 * a row has changed or gone, the page says what the database has counted. Undefined where neither can be.
 */
export function advanceCounts(
  tally: CountsAt | undefined,
  recipientId: string,
  rows: readonly Change[],
  { isLast, upto, moment, counts }: Pick<Page, "isLast" | "upto" | "moment" | "counts">,
): CountsAt | undefined {
  const counted = counts.get(recipientId);
  if (counted) return { ...counted, at: moment };
  if (!tally) return undefined;
  const added = rows.filter((row) => !isVisible(tally.at, row.createdXid));
  // New to the feed, which is behind, and only changed since the tally: nobody has counted that.
  const hasChanged = rows.some(
    (row) => isVisible(tally.at, row.createdXid) && !isVisible(tally.at, row.changedXid),
  );
  if (hasChanged) return undefined;
  const unread = added.filter((row) => row.readAt === null && row.archivedAt === null);
  return {
    unread: tally.unread + unread.length,
    unseen: tally.unseen + unread.filter((row) => row.seenAt === null).length,
    // Before its last page a read has more rows that `upto` sees.
    at: isLast ? union(tally.at, upto) : tally.at,
  };
}
