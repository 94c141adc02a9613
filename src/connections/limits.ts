import { Problem, retryAfter } from "../http/problem.ts";

export interface LimitsOptions {
  maxStreams: number;
  maxStreamsPerRecipient: number;
}

export type Limits = ReturnType<typeof createLimits>;

/** Gives one of the process's places back. */
export type Leave = () => void;

/**
 * Limits how many connections and waiting polls are open in this process: in all, and per recipient. Requests take places in
 * the order in which they come. An open connection is never closed to make room.
 */
export function createLimits({ maxStreams, maxStreamsPerRecipient }: LimitsOptions) {
  const perRecipient = new Map<string, number>();
  let open = 0;

  const countOf = (recipientId: string) => perRecipient.get(recipientId) ?? 0;

  const leave = (): void => {
    open--;
  };

  return {
    hasPlaceFor: (recipientId: string) => countOf(recipientId) < maxStreamsPerRecipient,

    /** Takes one of the recipient's places. Call `hasPlaceFor` first, in the same turn of the event loop. */
    takePlaceFor(recipientId: string): void {
      perRecipient.set(recipientId, countOf(recipientId) + 1);
    },

    /** Gives one of the recipient's places back. */
    leavePlaceOf(recipientId: string): void {
      const left = countOf(recipientId) - 1;
      if (left > 0) perRecipient.set(recipientId, left);
      else perRecipient.delete(recipientId);
    },

    /** Takes one of the process's places; undefined if none is free. */
    takePlace(): Leave | undefined {
      if (open >= maxStreams) return undefined;
      open++;
      return leave;
    },
  };
}

export const tooManyStreams = () =>
  new Problem("too_many_streams", "This recipient has too many open streams. Close one.", {
    headers: retryAfter(30),
  });

export const overloaded = () =>
  new Problem("overloaded", "There are too many open streams. Try again.", {
    headers: retryAfter(10),
  });
