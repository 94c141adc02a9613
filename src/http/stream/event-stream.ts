import type { Response } from "express";
import { encodeRetry } from "./server-sent-event.ts";

/** Why a stream ended; also the metric label. A closed list, so dashboards can rely on it. */
export type CloseReason =
  | "client"
  | "slow"
  | "vanished"
  | "expired"
  | "revoked"
  | "max_age"
  | "shutdown"
  | "unavailable";

/** Why a stream was not opened; also a metric label, of a closed list. */
export type RefusalReason = "draining" | "rate" | "recipient_full" | "full" | "unavailable";

export type EventStream = ReturnType<typeof openEventStream>;

/** Nobody may hold it back, keep it, or change it on the way. */
const HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache, no-transform",
  "X-Accel-Buffering": "no",
};

/** How long a client may take to read to the end of a stream that was ended. */
const LAST_WORDS_MS = 5000;

/** Writes an event stream's head. */
export function startEventStream(res: Response): void {
  res.writeHead(200, HEADERS);
}

/** 2 s to 5 s, so that clients that lost us together do not come back together. */
export const retryMs = () => 2000 + Math.random() * 3000;

/**
 * One open event stream: the response, and how much of it the client has not taken. Calls `onClose` once,
 * whoever ended it. Writing to a closed stream does nothing.
 */
export function openEventStream(
  res: Response,
  {
    maxBufferedBytes,
    onClose,
  }: { maxBufferedBytes: number; onClose: (reason: CloseReason) => void },
) {
  let isOpen = true;
  /** Since when the client has not taken what there is, by `performance.now()`. */
  let blockedSince: number | undefined;

  function end(reason: CloseReason) {
    if (!isOpen) return;
    isOpen = false;
    onClose(reason);
  }

  res.on("drain", () => {
    blockedSince = undefined;
  });
  res.on("close", () => end("client"));
  // A reset connection; "close" follows.
  res.on("error", () => {});
  startEventStream(res);
  res.write(encodeRetry(retryMs()));

  return {
    /** One write a frame. False when more than `maxBufferedBytes` are unsent. */
    write(frame: string | Buffer): boolean {
      if (!isOpen) return true;
      if (!res.write(frame)) blockedSince ??= performance.now();
      return res.writableLength <= maxBufferedBytes;
    },

    /** Resolves when the client has taken what there is, or the stream has ended. */
    drained(): Promise<void> {
      if (!isOpen || !res.writableNeedDrain) return Promise.resolve();
      return new Promise((resolve) => {
        const settle = () => {
          res.off("drain", settle).off("close", settle);
          resolve();
        };
        res.on("drain", settle).on("close", settle);
      });
    },

    /** For how long the client has not taken what there is, in milliseconds. */
    blockedMs: (now: number) => (blockedSince === undefined ? 0 : now - blockedSince),

    /** What the client has not taken. */
    bufferedBytes: () => res.writableLength,

    /** Who is at the other end of the connection: `address|port`. */
    peer: () => `${res.socket?.remoteAddress}|${res.socket?.remotePort}`,

    /** Ends the stream behind a last frame. Where the client takes nothing it is cut: the end would wait behind that. */
    close(reason: CloseReason, lastFrame = ""): void {
      if (!isOpen) return;
      end(reason);
      if (reason === "slow" || reason === "vanished") return void res.destroy();
      res.end(lastFrame);
      // Behind unsent data the end may wait for ever.
      const cut = setTimeout(() => res.destroy(), LAST_WORDS_MS).unref();
      res.on("close", () => clearTimeout(cut));
    },
  };
}
