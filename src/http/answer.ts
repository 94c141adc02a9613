import type { Response } from "express";
import type { BytesInFlight, Reservation } from "../db/bytes-in-flight.ts";
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
  const reservations: Reservation[] = [];
  let cut: NodeJS.Timeout | undefined;
  res.on("close", () => {
    clearTimeout(cut);
    for (const reservation of reservations) room.close(reservation);
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

    /** False where the client has gone. Throws Problem `overloaded` where there is no room for too long. */
    async reserve(reservation: Reservation, bytes: number): Promise<boolean> {
      const isIn = await room.reserve(reservation, bytes);
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
  new Problem("overloaded", "Too many responses wait for their clients to read them. Try again.", {
    headers: retryAfter(10),
  });
