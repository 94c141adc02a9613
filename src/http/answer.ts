import type { Response } from "express";
import type { BytesInFlight, Share } from "../db/bytes-in-flight.ts";
import { recipientOf } from "./auth/identify.ts";
import { Problem, retryAfter } from "./problem.ts";

export interface AnswerRoom {
  room: BytesInFlight;
  /** An answer that its client has not taken whole by then is cut, so that nobody waits behind it for longer. */
  stalledMs: number;
}

/** Whoever has waited so long for room would rather be told. */
const MAX_WAIT_MS = 10_000;

/** What an answer takes of the room, until its client has taken it or has gone. Undefined where it has gone already. */
export function openAnswer(res: Response, { room, stalledMs }: AnswerRoom) {
  if (res.destroyed) return undefined;
  const shares: Share[] = [];
  let cut: NodeJS.Timeout | undefined;
  res.on("close", () => {
    clearTimeout(cut);
    for (const share of shares) room.leave(share);
  });
  const hasWaitedTooLong = () => !res.destroyed && shares.some(({ hasLeft }) => hasLeft);

  return {
    openShare(onWait?: () => void): Share {
      const share: Share = {
        recipientId: recipientOf(res),
        bytes: 0,
        maxWaitMs: MAX_WAIT_MS,
        hasLeft: res.destroyed,
        ...(onWait ? { onWait } : {}),
      };
      shares.push(share);
      return share;
    },

    /** False where the client has gone. Throws Problem `overloaded` where there is no room for too long. */
    async take(share: Share, bytes: number): Promise<boolean> {
      const isIn = await room.take(share, bytes);
      if (hasWaitedTooLong()) throw noRoom();
      return isIn;
    },

    hasWaitedTooLong,

    send(json: string): void {
      res.type("json").send(json);
      cut = setTimeout(() => res.destroy(), stalledMs);
    },
  };
}

export const noRoom = () =>
  new Problem("overloaded", "Too many answers wait to be taken. Try again.", {
    headers: retryAfter(10),
  });
