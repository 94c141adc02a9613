import type { Counts } from "../changes/notification.ts";
import { formatSnapshot, parseSnapshot, truncate } from "../changes/snapshot.ts";
import type { PrismaClient } from "./generated/client.ts";

/** Counts that were read, and the snapshot in which they are right. */
export interface Known extends Counts {
  readonly at: string;
  readonly endsAt: number;
}

/** A row of `bellwire.changes_for()` that has a recipient's counts, or null for those that the caller knows. */
interface Head {
  epoch: string;
  snapshot: string;
  newest: string;
  unread: number | string | null;
  unseen: number | string | null;
}

/** To count fewer takes a tenth of a millisecond. */
export const MANY = 1000;
/** About 2 MB. The recipients who were counted longest ago are forgotten first. */
const MOST = 10_000;
/** A session in which no trigger fires may change notifications unnoticed (docs/guarantees.md). So all is counted again some time. */
const LIFETIME_MS = 60_000;

export type KnownCounts = ReturnType<typeof createKnownCounts>;

/**
 * The counts of recipients with many unread notifications, so that they are counted only after a change. They are no more than
 * a hint: each read gives the database the snapshot of the counts, and the database finds out in its own snapshot whether they are
 * still right. So it does not matter what other instances do, or what this one has not heard yet.
 */
export function createKnownCounts() {
  const counts = new Map<string, Known>();
  let epoch = "";

  function keep(recipientId: string, head: Head, { unread, unseen }: Counts): void {
    if (head.epoch !== epoch) counts.clear();
    epoch = head.epoch;
    counts.delete(recipientId);
    if (unread < MANY) return;
    // Not past the newest row, because after a crash later transaction ids may be assigned again (see `truncate`).
    const at = formatSnapshot(truncate(parseSnapshot(head.snapshot), BigInt(head.newest) + 1n));
    counts.set(recipientId, { unread, unseen, at, endsAt: performance.now() + LIFETIME_MS });
    const [oldest] = counts.keys();
    if (oldest !== undefined && counts.size > MOST) counts.delete(oldest);
  }

  return {
    /** Ask for it together with `find`: the history of all known snapshots. */
    epoch: () => epoch,

    /** Whether the recipient had many when it was counted last. */
    has: (recipientId: string) => counts.has(recipientId),

    find(recipientId: string): Known | undefined {
      const known = counts.get(recipientId);
      return known && known.endsAt > performance.now() ? known : undefined;
    },

    /** The recipient's counts after a read. `known` is what `find` returned before it. */
    after(recipientId: string, known: Known | undefined, head: Head): Counts {
      if (head.unread === null && known) return known;
      const counted = { unread: Number(head.unread), unseen: Number(head.unseen) };
      keep(recipientId, head, counted);
      return counted;
    },

    /** The server may have crashed. With `synchronous_commit = off` it may assign the ids of rows again that were counted. */
    forget: () => counts.clear(),
  };
}

/** One recipient's counts, with the head of the same snapshot: `take` is given the result of `query`. */
export function readCounts(prisma: PrismaClient, knownCounts: KnownCounts, recipientId: string) {
  const known = knownCounts.find(recipientId);
  const epoch = knownCounts.epoch();
  return {
    query: () =>
      prisma.$queryRaw<Head[]>`
        select epoch, snapshot::text, newest::text, unread::integer, unseen::integer
          from bellwire.changes_for(
                 array[pg_current_snapshot()], array[${recipientId}],
                 page_size => 0,
                 most => 0,
                 counted => array[${known?.at ?? null}]::pg_snapshot[],
                 counted_in => ${epoch}
               )`,

    take([head]: Head[]) {
      if (!head) throw new Error("bellwire.changes_for() returned no row");
      return { ...head, ...knownCounts.after(recipientId, known, head) };
    },
  };
}
