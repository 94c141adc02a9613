import type { Limits } from "./limits.ts";

export type RollCall = ReturnType<typeof createRollCall>;

/** A part that can check whether the clients of some recipients are still there. */
export interface Caller {
  /** Writes to every connection of these recipients, or closes it so that its client reconnects. */
  call: (isCalled: (recipientId: string) => boolean) => void;
  /** How many times it is called for one waiting request. */
  times: number;
}

/** A request that waits for a place, and the ticks that it has waited. */
interface Waiter {
  ticks: number;
  wake: () => void;
}

const TICK_MS = 200;
/** Some proxies report that a client has left only at the second write after that, and the report takes time to arrive. */
const TIMES_CALLED = 3;
/** Further requests of one recipient do not wait, because nobody opens so many pages in a second. */
const MAX_WAITING = 20;

/**
 * Frees places of clients that have left unnoticed, when all places of a recipient are taken. A proxy notices that a browser has
 * left only when it writes to it. So without this, pages that were reloaded would keep all places. However many requests wait, a
 * recipient's clients are called at most five times a second.
 */
export function createRollCall(
  limits: Pick<Limits, "hasPlaceFor" | "takePlaceFor" | "leavePlaceOf">,
) {
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

  /** Resolves within a second: true if a place is free. Another request may take it first. */
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

    /** Takes one of the recipient's places; false if none becomes free. */
    async takePlace(recipientId: string): Promise<boolean> {
      while (!limits.hasPlaceFor(recipientId)) if (!(await awaitPlace(recipientId))) return false;
      limits.takePlaceFor(recipientId);
      return true;
    },

    /** Gives one of the recipient's places back. Its waiting requests check again. */
    leavePlace(recipientId: string): void {
      limits.leavePlaceOf(recipientId);
      for (const { wake } of waiting.get(recipientId) ?? []) wake();
    },
  };
}
