import type { Response } from "express";
import type { BytesInFlight, Share } from "../db/bytes-in-flight.ts";

export interface AnswerRoom {
  room: BytesInFlight;
  /** An answer of which its client takes nothing for so long is cut, so that nobody waits behind it for ever. */
  stalledMs: number;
}

/**
 * A function that opens shares of the room; they leave when the client has taken the answer, or has gone. Undefined where
 * it has gone already.
 */
export function sharesOf(
  res: Response,
  { room, stalledMs }: AnswerRoom,
): ((onWait?: () => void) => Share) | undefined {
  if (res.destroyed) return undefined;
  const shares: Share[] = [];
  res.on("close", () => {
    for (const share of shares) room.leave(share);
  });
  res.setTimeout(stalledMs, () => {
    // Before its end it is we who take the time.
    if (res.writableEnded) res.destroy();
  });
  return (onWait) => {
    const share: Share = { bytes: 0, hasLeft: res.destroyed, ...(onWait ? { onWait } : {}) };
    shares.push(share);
    return share;
  };
}
