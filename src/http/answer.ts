import type { Response } from "express";
import type { BytesInFlight, Reservation } from "../db/bytes-in-flight.ts";
import { recipientOf } from "./auth/identify.ts";
import { Problem, retryAfter } from "./problem.ts";

/** What bounds the memory of responses: their bytes, and the time that a client may take to read one. */
export interface AnswerLimits {
  bytesInFlight: BytesInFlight;
  /** A client that has not read its whole response after this time is disconnected, so that others get its bytes. */
  stalledMs: number;
}

/** A request that has waited this long for its bytes is refused, because its client can retry. */
const MAX_WAIT_MS = 10_000;

/**
 * Reserves bytes in flight for one response until its client has read it or has left. Undefined if the client has already left.
 */
export function createAnswer(res: Response, { bytesInFlight, stalledMs }: AnswerLimits) {
  if (res.destroyed) return undefined;
  const reservations: Reservation[] = [];
  let cut: NodeJS.Timeout | undefined;
  res.on("close", () => {
    clearTimeout(cut);
    for (const reservation of reservations) bytesInFlight.close(reservation);
  });
  const hasWaitedTooLong = () => !res.destroyed && reservations.some(({ isClosed }) => isClosed);

  return {
    openReservation(onWait?: () => void): Reservation {
      const reservation: Reservation = {
        recipientId: recipientOf(res),
        bytes: 0,
        maxWaitMs: MAX_WAIT_MS,
        isClosed: res.destroyed,
        ...(onWait ? { onWait } : {}),
      };
      reservations.push(reservation);
      return reservation;
    },

    /** False if the client has left. Throws Problem `overloaded` if the bytes are not free in time. */
    async reserve(reservation: Reservation, bytes: number): Promise<boolean> {
      const isIn = await bytesInFlight.reserve(reservation, bytes);
      if (hasWaitedTooLong()) throw tooManyUnread();
      return isIn;
    },

    hasWaitedTooLong,

    send(json: string): void {
      res.type("json").send(json);
      cut = setTimeout(() => res.destroy(), stalledMs);
    },
  };
}

export const tooManyUnread = () =>
  new Problem("overloaded", "Too many responses wait for their clients to read them. Try again.", {
    headers: retryAfter(10),
  });
