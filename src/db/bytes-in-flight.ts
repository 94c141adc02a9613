/** What one answer or page takes of the room. */
export interface Share {
  readonly recipientId: string;
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

/** What a recipient has of the room, in all its shares. */
interface Part {
  /** With what it waits for in turn with the others. */
  bytes: number;
  /** Those that wait for its own others first. */
  readonly waiting: Set<Waiting>;
}

export type BytesInFlight = ReturnType<typeof createBytesInFlight>;

/**
 * How many bytes of rows may be here at a time, from before they are asked for until their clients have taken them. Who
 * comes while there is no room waits: first come, first served, but a recipient has no more than a quarter of the room, or one
 * share; what it asks for beyond that waits for its own others, and nobody waits behind it. What is larger than all the room
 * goes in alone.
 */
export function createBytesInFlight(limit: number) {
  const waiting = new Set<Waiting>();
  const parts = new Map<string, Part>();
  let taken = 0;

  const fits = (bytes: number) => taken === 0 || taken + bytes <= limit;
  const fitsInPart = (part: Part | undefined, bytes: number) =>
    !part || part.bytes === 0 || part.bytes + bytes <= limit / 4;

  function partOf({ recipientId }: Share): Part {
    const part = parts.get(recipientId) ?? { bytes: 0, waiting: new Set() };
    parts.set(recipientId, part);
    return part;
  }

  function letIn(): void {
    for (const next of waiting) {
      if (!fits(next.bytes)) return;
      waiting.delete(next);
      next.share.waiting = undefined;
      taken += next.bytes;
      next.share.bytes += next.bytes;
      next.enter(true);
    }
  }

  /** After whatever changes the share's part. */
  function settle(share: Share, part: Part): void {
    for (const next of part.waiting) {
      if (!fitsInPart(part, next.bytes)) break;
      part.waiting.delete(next);
      part.bytes += next.bytes;
      waiting.add(next);
    }
    if (part.bytes === 0 && part.waiting.size === 0) parts.delete(share.recipientId);
    letIn();
  }

  /** Gives back what the share has beyond that; what turned out to be more counts as well. */
  function keep(share: Share, bytes: number): void {
    if (share.hasLeft && bytes > 0) return;
    const part = partOf(share);
    const more = bytes - share.bytes;
    taken += more;
    part.bytes += more;
    share.bytes = bytes;
    settle(share, part);
  }

  /** Its client has gone, or has all of it; or it has waited too long. */
  function leave(share: Share): void {
    share.hasLeft = true;
    if (share.waiting) {
      const part = partOf(share);
      if (waiting.delete(share.waiting)) part.bytes -= share.waiting.bytes;
      else part.waiting.delete(share.waiting);
      share.waiting.enter(false);
      share.waiting = undefined;
    }
    keep(share, 0);
  }

  return {
    /** Resolves when there is room, or to false when the share has left. */
    take(share: Share, bytes: number): Promise<boolean> {
      if (share.hasLeft) return Promise.resolve(false);
      return new Promise((resolve) => {
        let timer: NodeJS.Timeout | undefined;
        const enter = (isIn: boolean) => {
          clearTimeout(timer);
          resolve(isIn);
        };
        const part = partOf(share);
        share.waiting = { share, bytes, enter };
        part.waiting.add(share.waiting);
        settle(share, part);
        if (!share.waiting) return;
        if (share.maxWaitMs !== undefined) timer = setTimeout(leave, share.maxWaitMs, share);
        share.onWait?.();
      });
    },

    /** As much as that, if nobody waits for it; returns what the share then has. */
    grow(share: Share, bytes: number): number {
      const more = bytes - share.bytes;
      const part = parts.get(share.recipientId);
      const isWanted = waiting.size + (part?.waiting.size ?? 0) > 0;
      if (more > 0 && !share.hasLeft && !isWanted && fits(more) && fitsInPart(part, more))
        keep(share, bytes);
      return share.bytes;
    },

    keep,

    leave,

    taken: () => taken,
  };
}
