import type { Change, Page } from "../changes/changes.ts";
import type { Counts } from "../changes/notification.ts";
import { isSubset, isVisible, type Snapshot, union } from "../changes/snapshot.ts";

/** A recipient's counts, kept up to date without counting again. Exact for the rows that `at` sees. */
export interface CountsAt extends Counts {
  readonly at: Snapshot;
}

export const laterCounts = (a: CountsAt | undefined, b: CountsAt): CountsAt =>
  a && isSubset(b.at, a.at) ? a : b;

/**
 * A recipient's counts after a page with these changes. If the page has a changed or removed row of the recipient, it also has the
 * database's counts. Otherwise its new rows are added to the counts before it. Undefined if neither is possible.
 */
export function countsAfter(
  before: CountsAt | undefined,
  recipientId: string,
  changes: readonly Change[],
  { isLast, upto, moment, counts }: Pick<Page, "isLast" | "upto" | "moment" | "counts">,
): CountsAt | undefined {
  const counted = counts.get(recipientId);
  if (counted) return { ...counted, at: moment };
  if (!before) return undefined;
  let { unread, unseen } = before;
  for (const { createdXid, changedXid, seenAt, readAt, archivedAt } of changes) {
    if (isVisible(before.at, createdXid)) {
      // The feed is behind these counts. To the feed such a row is new, so the page has no counts for it. But `before` has counted
      // an older state of the row.
      if (!isVisible(before.at, changedXid)) return undefined;
    } else if (readAt === null && archivedAt === null) {
      unread++;
      if (seenAt === null) unseen++;
    }
  }
  return {
    unread,
    unseen,
    // Before a read's last page, there are more rows that `upto` sees.
    at: isLast ? union(before.at, upto) : before.at,
  };
}
