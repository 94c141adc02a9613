import type { Page } from "../changes/changes.ts";

export interface PaceOptions {
  /** Maximum time between two reads. */
  sweepMs: number;
  /** Maximum time between two reads while wake-ups are suspended. */
  tickMs: number;
  /** Above this many transactions per second that compete for the NOTIFY lock, wake-ups are suspended; 0: never. */
  wakeupsPerSecondBusy: number;
}

type PageRead = Pick<Page, "marked" | "removed" | "changes" | "suspendedMs">;

export type Pace = ReturnType<typeof createPace>;

/** Wake-ups are suspended for this long at a time. If the instance that suspended them dies, they resume by themselves. */
export const LEASE_MS = 1000;

/** The feed rests so long between two reads that they take this part of one processor, but never longer than a tick. */
const SHARE = 0.2;

/** The shortest of this many reads is about the processor time of one. The others have also waited for the machine. */
const COMPARED_READS = 16;

/** After a quiet time reads may take this long without a rest, so that a lone commit never waits for its turn. */
const BURST_MS = 50;

/**
 * Decides when to read, and when to suspend wake-ups. It has no clock, no database and no timer: the caller passes the time.
 *
 * Reads take at most a fifth of one processor's time, except that a tick is the longest rest. Not their number is limited but their
 * time, because a read of a few rows is cheap and so the next one may follow soon.
 *
 * *Idle*: each wake-up causes a read, at once unless the feed must rest. Each transaction held the cluster's NOTIFY lock while it committed.
 * A transaction that a read finds alone has kept nobody waiting. The others fill a bucket that leaks `wakeupsPerSecondBusy` per second.
 * When the bucket holds a tenth of that number, and at least ten, it is worth suspending wake-ups. Wake-ups after which a read finds
 * nothing, such as forged ones, do not count.
 *
 * *Busy*: wake-ups are suspended by a lease in the database. Every instance sees the lease in the pages that it reads
 * (`suspendedMs`) and reads again after each rest while the lease lasts. It renews the lease when half of it is over and the bucket is not
 * empty. It does not matter which instance took the lease. So the instances need not agree, and the death of one changes nothing.
 *
 * *Leaving*: no instance renews the lease, so it ends. Wake-ups are sent again, and each causes a read at once. But a transaction
 * that checked the lease before its end and commits later sends no wake-up. So there are ticks, which slow down: the pause between
 * two reads is a twentieth of the time since wake-ups were last seen suspended. The row of a commit that took `t` waits at most a tick or
 * `t / 20`. When the pause reaches the sweep, the pace is idle again.
 *
 * When wake-ups are suspended for good (`bellwire.suspend_wakeups()`), or another part of this process keeps them suspended, the
 * pace is similar: it ticks while reads find rows, slows down while they do not, and never renews a lease.
 */
export function createPace({ sweepMs, tickMs, wakeupsPerSecondBusy }: PaceOptions, now: number) {
  const perMs = wakeupsPerSecondBusy / 1000;
  const worthSuspending = Math.max(10, perMs * 100);
  const full = 5 * worthSuspending;
  let bucket = 0;
  let filledAt = now;
  /** The last time when rows may have come without a wake-up. No wake-up was heard before the start, so it begins with that. */
  let unannouncedAt = now;
  let leaseEndsAt = Number.NEGATIVE_INFINITY;
  let isForGood = false;
  let isHeld = false;
  /** For how long the feed may read without a rest; negative while it must rest. */
  let creditMs = BURST_MS;
  let creditedAt = now;
  /** How long the last reads took. */
  const readsMs: number[] = [];

  const isBusy = (now: number) => now < leaseEndsAt;

  return {
    isBusy,

    /** The longest time between the begins of two reads, when no wake-up comes between. */
    pollMs: (now: number) =>
      isBusy(now) ? 0 : Math.min(sweepMs, Math.max(tickMs, (now - unannouncedAt) / 20)),

    /** How long the next read must wait, in milliseconds. */
    restMs: (now: number) => Math.max(0, creditedAt - now - creditMs / SHARE),

    /** Takes a page into account. `askedAt` and `readAt` are when it was asked for and when it came. */
    recordRead(
      { marked, removed, changes, suspendedMs }: PageRead,
      askedAt: number,
      readAt: number,
    ): void {
      readsMs.push(readAt - askedAt);
      if (readsMs.length > COMPARED_READS) readsMs.shift();
      const earnedMs = (readAt - creditedAt) * SHARE;
      const leftMs = Math.min(BURST_MS, creditMs + earnedMs) - Math.min(...readsMs);
      creditMs = Math.max(leftMs, -tickMs * SHARE);
      creditedAt = readAt;
      bucket = Math.max(0, bucket - (askedAt - filledAt) * perMs);
      filledAt = askedAt;
      const xids = new Set(changes.map(({ changedXid }) => changedXid));
      for (const { markedXid } of marked) xids.add(markedXid);
      for (const { removedXid } of removed) xids.add(removedXid);
      bucket = Math.min(full, bucket + Math.max(0, xids.size - 1));
      isForGood = isHeld || suspendedMs === Number.POSITIVE_INFINITY;
      leaseEndsAt = isForGood ? Number.NEGATIVE_INFINITY : askedAt + suspendedMs;
      if (isForGood ? xids.size > 0 : suspendedMs > 0) unannouncedAt = askedAt;
    },

    /** Whether to take the lease now, or to renew it. */
    isWorthSuspending(now: number): boolean {
      if (wakeupsPerSecondBusy === 0 || isForGood) return false;
      const leftMs = leaseEndsAt - now;
      return leftMs > 0 ? leftMs < LEASE_MS / 2 && bucket > 0 : bucket >= worthSuspending;
    },

    /** While held, another part of this process keeps wake-ups suspended. */
    setHeld(held: boolean, now: number): void {
      isHeld = held;
      unannouncedAt = now;
    },

    /** From now on rows may come without a wake-up: wake-ups are about to be suspended, or were not heard for a while. */
    expectUnannounced(now: number): void {
      unannouncedAt = now;
    },
  };
}
