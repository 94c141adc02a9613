export type RollCall = ReturnType<typeof createRollCall>;

export interface RollCallOptions {
  hasPlace: (recipientId: string) => boolean;
  /** Says something on all streams of these recipients, so that proxies notice whose clients have left. */
  pingStreams: (isCalled: (recipientId: string) => boolean) => void;
  /** Answers all polls of these recipients: who is there comes again. */
  answerPolls: (isCalled: (recipientId: string) => boolean) => void;
}

/** Who waits for a place, and for how many ticks. */
interface Waiter {
  ticks: number;
  wake: () => void;
}

const TICK_MS = 200;
/** Some proxies tell that a client left at the second write after it, and may have a long way to it. */
const TIMES_ASKED = 3;
/** More of one recipient do not wait: nobody opens so many pages in a second. */
const MAX_WAITING = 20;

/**
 * Finds out who of a recipient's clients has left without our knowing. Proxies that hear it only when they write to
 * them would else fill all the places with pages that were loaded again. However many wait for a place, a
 * recipient's clients are asked five times a second at most.
 */
export function createRollCall({ hasPlace, pingStreams, answerPolls }: RollCallOptions) {
  const waiting = new Map<string, Set<Waiter>>();
  let ticking: NodeJS.Timeout | undefined;

  function tick() {
    for (const [recipientId, waiters] of waiting) {
      if (waiters.size === 0) waiting.delete(recipientId);
      for (const waiter of waiters) if (++waiter.ticks > TIMES_ASKED) waiter.wake();
    }
    const isCalled = (fits: (ticks: number) => boolean) => (recipientId: string) =>
      [...(waiting.get(recipientId) ?? [])].some(({ ticks }) => fits(ticks));
    pingStreams(isCalled((ticks) => ticks <= TIMES_ASKED));
    // Once, so that they have come again when somebody is told that there is no place.
    answerPolls(isCalled((ticks) => ticks === 1));
    if (waiting.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  }

  return {
    /** Resolves, within a second, with whether there is a place; the caller looks again, since another may be quicker. */
    async awaitPlace(recipientId: string): Promise<boolean> {
      const waiters = waiting.get(recipientId) ?? new Set();
      if (waiters.size >= MAX_WAITING) return false;
      const waiter: Waiter = { ticks: 0, wake() {} };
      waiting.set(recipientId, waiters.add(waiter));
      ticking ??= setInterval(tick, TICK_MS);
      while (!hasPlace(recipientId) && waiter.ticks <= TIMES_ASKED)
        await new Promise<void>((resolve) => {
          waiter.wake = resolve;
        });
      waiters.delete(waiter);
      return hasPlace(recipientId);
    },

    /** One of its streams has ended. Of polls that is not told: who is there comes again, and has its place. */
    left(recipientId: string): void {
      for (const { wake } of waiting.get(recipientId) ?? []) wake();
    },
  };
}
