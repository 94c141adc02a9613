import type { Page } from "../changes/changes.ts";

export interface PaceOptions {
  /** At the latest so long after the last read there is another. */
  sweepMs: number;
  /** While wake-ups are suspended there is a read every tick. */
  tickMs: number;
  /** When transactions announce themselves faster, wake-ups are suspended; 0: never. */
  wakeupsPerSecondBusy: number;
}

type ReadFor = Pick<Page, "marked" | "removed" | "changes" | "suspendedMs">;

export type Pace = ReturnType<typeof createPace>;

/** For how long wake-ups are suspended at a time. If whoever did it dies, they come back by themselves. */
export const LEASE_MS = 1000;

/** So many reads may follow one another at once after a quiet time, so that a lone commit never waits for its turn. */
const READS_AT_ONCE = 10;

/**
 * When to read, and when to suspend wake-ups. Knows no clock, no database and no timer: it is told the time, and asked.
 *
 * *Idle*: a wake-up is answered by a read at once. Every transaction that a read finds is one that queued for the cluster's
 * NOTIFY lock. They fill a bucket that leaks `wakeupsPerSecondBusy` a second; when it holds a tenth of that (ten at the
 * least), it is worth suspending wake-ups. What is forged or finds nothing does not count.
 *
 * *Busy*: wake-ups are suspended, by a lease in the database that everybody sees in what they read: `suspendedMs`. Whoever
 * sees it reads every tick, whoever has suspended them; and whoever sees it half run out, with something in the bucket,
 * renews it. So several instances need not agree on one that does it, and the death of any of them changes nothing.
 *
 * *Leaving*: nobody renews the lease, it runs out, wake-ups are sent again and answered at once. A transaction that looked
 * before and commits later has announced itself to nobody. So the ticks go on, slower: by a twentieth of the time since
 * wake-ups were last seen suspended. A commit that was held up for `t` waits `t / 20` at the most, until that is the sweep,
 * and the pace is idle again.
 *
 * Suspended for good (`bellwire.suspend_wakeups()`), or held by somebody else for longer than a lease, it is the same: it ticks
 * while reads find something, slows down while they do not, and never renews anything.
 */
export function createPace({ sweepMs, tickMs, wakeupsPerSecondBusy }: PaceOptions, now: number) {
  const perMs = wakeupsPerSecondBusy / 1000;
  const worthSuspending = Math.max(READS_AT_ONCE, perMs * 100);
  const full = 5 * worthSuspending;
  let bucket = 0;
  let filledAt = now;
  /** When there was last reason to think that rows come unannounced. Before the start is one. */
  let unannouncedAt = now;
  let leaseEndsAt = Number.NEGATIVE_INFINITY;
  let isForGood = false;
  let isHeld = false;
  let readsLeft = READS_AT_ONCE;
  let readsCountedAt = now;

  /** Until the next read, where nothing wakes it. */
  const pollMs = (now: number) => Math.min(sweepMs, Math.max(tickMs, (now - unannouncedAt) / 20));

  return {
    pollMs,

    isBusy: (now: number) => now < leaseEndsAt,

    /** A read that began at `now` has given this page. */
    recordRead({ marked, removed, changes, suspendedMs }: ReadFor, now: number): void {
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

    /** Whether to suspend wake-ups for `LEASE_MS` now, for the first time or further. */
    isWorthSuspending(now: number): boolean {
      if (wakeupsPerSecondBusy === 0 || isForGood) return false;
      const leftMs = leaseEndsAt - now;
      return leftMs > 0 ? leftMs < LEASE_MS / 2 && bucket > 0 : bucket >= worthSuspending;
    },

    /** Somebody keeps wake-ups suspended, and will say when no longer. */
    setHeld(held: boolean, now: number): void {
      isHeld = held;
      unannouncedAt = now;
    },

    /** Rows may come unannounced: wake-ups are about to be suspended, or were not heard for a while. */
    expectUnannounced(now: number): void {
      unannouncedAt = now;
    },

    /** How long a wake-up has to wait for its read. Counts that read. */
    scheduleRead(now: number): number {
      const perRead = Math.min(tickMs, 1 / perMs);
      readsLeft = Math.min(READS_AT_ONCE, readsLeft + (now - readsCountedAt) / perRead);
      readsCountedAt = now;
      readsLeft -= 1;
      return Math.max(0, -readsLeft * perRead);
    },
  };
}
