import { Problem, retryAfter } from "../http/problem.ts";

export interface LimitsOptions {
  maxStreams: number;
  maxStreamsPerRecipient: number;
}

export type Limits = ReturnType<typeof createLimits>;

/** How many streams and waiting polls may be open here, in all and of one recipient. Who is in is not put out. */
export function createLimits({ maxStreams, maxStreamsPerRecipient }: LimitsOptions) {
  const perRecipient = new Map<string, number>();
  let open = 0;

  return {
    /** Why no further one may be opened now, if so. */
    refusal(recipientId: string): "recipient_full" | "full" | undefined {
      const own = perRecipient.get(recipientId) ?? 0;
      if (own >= maxStreamsPerRecipient) return "recipient_full";
      return open >= maxStreams ? "full" : undefined;
    },

    /** Counts one in; returns the function that counts it out, once. */
    enter(recipientId: string): () => void {
      open++;
      perRecipient.set(recipientId, (perRecipient.get(recipientId) ?? 0) + 1);
      return () => {
        open--;
        const left = (perRecipient.get(recipientId) ?? 1) - 1;
        if (left === 0) perRecipient.delete(recipientId);
        else perRecipient.set(recipientId, left);
      };
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
