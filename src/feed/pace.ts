import type { Page } from "../changes/changes.ts";

export interface PaceOptions {
  /** Maximum time between two reads. */
  sweepMs: number;
  /** Time between two reads while wake-ups are suspended. */
  tickMs: number;
  /** Above this many transactions per second that send wake-ups, they are suspended; 0: never. */
  wakeupsPerSecondBusy: number;
}

type PageRead = Pick<Page, "marked" | "removed" | "changes" | "suspendedMs">;

export type Pace = ReturnType<typeof createPace>;

/** Wake-ups are suspended for this long at a time. If the instance that suspended them dies, they resume by themselves. */
export const LEASE_MS = 1000;

/** Burst size: after a quiet time this many reads run without delay, so that a lone commit never waits for its turn. */
const BURST = 10;

/**
 * Decides when to read, and when to suspend wake-ups. It has no clock, no database and no timer: the caller passes the time.
 *
 * *Idle*: each wake-up causes a read at once. Every transaction that a read finds has waited for the cluster's NOTIFY lock.
 * These transactions fill a bucket that leaks `wakeupsPerSecondBusy` per second. When the bucket holds a tenth of that number, and at
 * least ten, it is worth suspending wake-ups. Wake-ups after which a read finds nothing, such as forged ones, do not count.
 *
 * *Busy*: wake-ups are suspended by a lease in the database. Every instance sees the lease in the pages that it reads
 * (`suspendedMs`) and reads every tick while the lease lasts. It renews the lease when half of it is over and the bucket is not
 * empty. It does not matter which instance took the lease. So the instances need not agree, and the death of one changes nothing.
 *
 * *Leaving*: no instance renews the lease, so it ends. Wake-ups are sent again, and each causes a read at once. But a transaction
 * that checked the lease before its end and commits later sends no wake-up. So the ticks continue and slow down: the pause between
 * two reads is a twentieth of the time since wake-ups were last seen suspended. The row of a commit that took `t` waits at most
 * `t / 20`. When the pause reaches the sweep, the pace is idle again.
 *
 * When wake-ups are suspended for good (`bellwire.suspend_wakeups()`), or another part of this process keeps them suspended, the
 * pace is similar: it ticks while reads find rows, slows down while they do not, and never renews a lease.
 */
export function createPace({ sweepMs, tickMs, wakeupsPerSecondBusy }: PaceOptions, now: number) {
  const perMs = wakeupsPerSecondBusy / 1000;
  const worthSuspending = Math.max(BURST, perMs * 100);
  const full = 5 * worthSuspending;
  let bucket = 0;
  let filledAt = now;
  /** The last time when rows may have come without a wake-up. No wake-up was heard before the start, so it begins with that. */
  let unannouncedAt = now;
  let leaseEndsAt = Number.NEGATIVE_INFINITY;
  let isForGood = false;
  let isHeld = false;
  let readsLeft = BURST;
  let readsCountedAt = now;

  /** The pause until the next read, when no wake-up comes first. */
  const pollMs = (now: number) => Math.min(sweepMs, Math.max(tickMs, (now - unannouncedAt) / 20));

  return {
    pollMs,

    isBusy: (now: number) => now < leaseEndsAt,

    /** Takes a page into account whose read began at `now`. */
    recordRead({ marked, removed, changes, suspendedMs }: PageRead, now: number): void {
      bucket = Math.max(0, bucket - (now - filledAt) * perMs);
      filledAt = now;
      const xids = new Set(changes.map(({ changedXid }) => changedXid));
      for (const { markedXid } of marked) xids.add(markedXid);
      for (const { removedXid } of removed) xids.add(removedXid);
      bucket = Math.min(full, bucket + xids.size);
      isForGood = isHeld || suspendedMs === Number.POSITIVE_INFINITY;
      leaseEndsAt = isForGood ? Number.NEGATIVE_INFINITY : now + suspendedMs;
      if (isForGood ? xids.size > 0 : suspendedMs > 0) unannouncedAt = now;
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

    /** Schedules the read of a wake-up. Returns how long it must wait, in milliseconds. */
    scheduleRead(now: number): number {
      const perRead = Math.min(tickMs, 1 / perMs);
      readsLeft = Math.min(BURST, readsLeft + (now - readsCountedAt) / perRead);
      readsCountedAt = now;
      readsLeft -= 1;
      return Math.max(0, -readsLeft * perRead);
    },
  };
}
