/** What one answer or page takes of the room. */
export interface Share {
  bytes: number;
  /** Called when it has to wait: whoever has some in another share must then let go of that. */
  readonly onWait?: () => void;
  /** Leaves when it has waited for so long. */
  readonly maxWaitMs?: number;
  waiting?: Waiting | undefined;
  hasLeft?: boolean;
}

interface Waiting {
  readonly share: Share;
  readonly bytes: number;
  readonly enter: (isIn: boolean) => void;
}

export type BytesInFlight = ReturnType<typeof createBytesInFlight>;

/**
 * How many bytes of rows may be here at a time, from before they are asked for until their clients have taken them. Who
 * comes while there is no room waits: first come, first served. What is larger than all the room goes in alone.
 */
export function createBytesInFlight(limit: number) {
  const waiting = new Set<Waiting>();
  let taken = 0;

  const fits = (bytes: number) => taken === 0 || taken + bytes <= limit;

  function give(share: Share, bytes: number): void {
    taken += bytes;
    share.bytes += bytes;
  }

  function letIn(): void {
    for (const next of waiting) {
      if (!fits(next.bytes)) return;
      waiting.delete(next);
      next.share.waiting = undefined;
      give(next.share, next.bytes);
      next.enter(true);
    }
  }

  /** Gives back what the share has beyond that; what turned out to be more counts as well. */
  function keep(share: Share, bytes: number): void {
    if (share.hasLeft && bytes > 0) return;
    taken += bytes - share.bytes;
    share.bytes = bytes;
    letIn();
  }

  /** Its client has gone, or has all of it; or it has waited too long. */
  function leave(share: Share): void {
    share.hasLeft = true;
    if (share.waiting) {
      waiting.delete(share.waiting);
      share.waiting.enter(false);
      share.waiting = undefined;
    }
    keep(share, 0);
  }

  return {
    /** Resolves when there is room, or to false when the share has left. */
    take(share: Share, bytes: number): Promise<boolean> {
      if (share.hasLeft) return Promise.resolve(false);
      if (waiting.size === 0 && fits(bytes)) {
        give(share, bytes);
        return Promise.resolve(true);
      }
      share.onWait?.();
      return new Promise((resolve) => {
        const { maxWaitMs } = share;
        const timer = maxWaitMs === undefined ? undefined : setTimeout(leave, maxWaitMs, share);
        const enter = (isIn: boolean) => {
          clearTimeout(timer);
          resolve(isIn);
        };
        share.waiting = { share, bytes, enter };
        waiting.add(share.waiting);
      });
    },

    /** As much as that, if nobody waits for it; returns what the share then has. */
    grow(share: Share, bytes: number): number {
      const more = share.hasLeft ? 0 : bytes - share.bytes;
      if (more > 0 && waiting.size === 0 && fits(more)) give(share, more);
      return share.bytes;
    },

    keep,

    leave,

    taken: () => taken,
  };
}
