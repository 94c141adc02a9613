import type { Leave, Limits } from "./limits.ts";

export type RollCall = ReturnType<typeof createRollCall>;

/** Somebody who can have the clients of some recipients show that they are there. */
export interface Caller {
  /** Makes every connection of these recipients write something, or end so that its client reconnects. */
  call: (isCalled: (recipientId: string) => boolean) => void;
  /** How often, for one who waits. */
  times: number;
}

/** A request that waits for a place, and for how many ticks it has. */
interface Waiter {
  ticks: number;
  wake: () => void;
}

const TICK_MS = 200;
/** Some proxies report a client's leaving only at the second write after it, and may be far away. */
const TIMES_CALLED = 3;
/** More requests of one recipient do not wait: nobody opens so many pages in a second. */
const MAX_WAITING = 20;

/**
 * Finds out which of a recipient's clients have left without our knowing, when all its places are taken. A proxy learns that a
 * browser has gone only when it writes to it, so pages that were reloaded would otherwise fill all the places.
 * However many requests wait, a recipient's clients are called five times a second at most.
 */
export function createRollCall(limits: Pick<Limits, "hasPlaceFor" | "takePlaceFor">) {
  const callers: Caller[] = [];
  const waiting = new Map<string, Set<Waiter>>();
  let ticking: NodeJS.Timeout | undefined;

  function tick() {
    for (const [recipientId, waiters] of waiting) {
      if (waiters.size === 0) waiting.delete(recipientId);
      for (const waiter of waiters) if (++waiter.ticks > TIMES_CALLED) waiter.wake();
    }
    for (const { call, times } of callers)
      call((recipientId) =>
        [...(waiting.get(recipientId) ?? [])].some(({ ticks }) => ticks <= times),
      );
    if (waiting.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  }

  /** Resolves within a second, to whether there is a place. Another request may take it first. */
  async function awaitPlace(recipientId: string): Promise<boolean> {
    if (limits.hasPlaceFor(recipientId)) return true;
    const waiters = waiting.get(recipientId) ?? new Set();
    if (waiters.size >= MAX_WAITING) return false;
    const waiter: Waiter = { ticks: 0, wake() {} };
    waiting.set(recipientId, waiters.add(waiter));
    ticking ??= setInterval(tick, TICK_MS);
    while (!limits.hasPlaceFor(recipientId) && waiter.ticks <= TIMES_CALLED)
      await new Promise<void>((resolve) => {
        waiter.wake = resolve;
      });
    waiters.delete(waiter);
    return limits.hasPlaceFor(recipientId);
  }

  return {
    add: (caller: Caller): void => void callers.push(caller),

    awaitPlace,

    /** Takes one of the recipient's places; undefined where none becomes free. */
    async takePlace(recipientId: string): Promise<Leave | undefined> {
      while (!limits.hasPlaceFor(recipientId))
        if (!(await awaitPlace(recipientId))) return undefined;
      return limits.takePlaceFor(recipientId);
    },

    /** A place of the recipient's has become free: its waiting requests look again. */
    placeLeft(recipientId: string): void {
      for (const { wake } of waiting.get(recipientId) ?? []) wake();
    },
  };
}
