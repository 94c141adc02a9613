import type { Socket } from "node:net";
import type { Response } from "express";
import type { LentSocket } from "../../http/lent-socket.ts";
import { type Frame, LAST_CHUNK } from "./frame.ts";

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
  // Caddy 2.6 with `encode` does not care about no-transform, and never flushes what it compresses.
  "Content-Encoding": "identity",
  "X-Accel-Buffering": "no",
};

/** How long a client may take to read to the end of a stream that was ended. */
const LAST_WORDS_MS = 5000;

/** Writes an event stream's head. */
export function startEventStream(res: Response): void {
  res.writeHead(200, HEADERS);
}

export interface EventStreamOptions {
  /** As its head has said. */
  isChunked: boolean;
  maxBufferedBytes: number;
  /** What the client is told where the stream ends before it has begun. */
  refusal: () => Frame;
  onClose: (reason: CloseReason) => void;
}

/**
 * One open event stream: the socket that is left of a response, and how much of it the client has not taken. Calls
 * `onClose` once, whoever ended it. Writing to a closed stream does nothing.
 */
export function openEventStream(
  socket: Socket,
  { isChunked, maxBufferedBytes, refusal, onClose }: EventStreamOptions,
) {
  let isOpen = true;
  /** Let go of when the stream begins: thousands are open, and each function of a stream's own takes 64 bytes. */
  let refuse: (() => Frame) | undefined = refusal;
  /** The socket may come corked, with the response's head: that goes out with the first frame. */
  let isGathering = true;
  /** Since when the client has not taken what there is, by `performance.now()`; meaningless while it has. */
  let blockedSince = 0;

  function end(reason: CloseReason) {
    if (!isOpen) return;
    isOpen = false;
    onClose(reason);
  }

  function sendGathered() {
    isGathering = false;
    socket.uncork();
  }

  if (socket.writableCorked === 0) socket.cork();
  process.nextTick(sendGathered);
  socket.on("close", () => end("client"));
  socket.on("error", ignore);
  socket.allowHalfOpen = false;
  // What comes until the stream begins may be the request's body.
  socket.resume();

  function write(frame: Frame): boolean {
    if (!isOpen) return true;
    if (!isGathering) {
      isGathering = true;
      socket.cork();
      process.nextTick(sendGathered);
    }
    const wasBlocked = socket.writableNeedDrain;
    if (!socket.write(encoded(frame, isChunked)) || socket.writableLength > maxBufferedBytes) {
      // Enough to be sent at once: only what the kernel does not take is unsent.
      socket.uncork();
      socket.cork();
      if (!wasBlocked) blockedSince = performance.now();
    }
    return socket.writableLength <= maxBufferedBytes;
  }

  const stream = {
    hasBegun: false,

    /** Writes `ready`, before which nothing may be written: some clients forget their position at a first event without an id. */
    begin(ready: Frame): void {
      stream.hasBegun = true;
      refuse = undefined;
      socket.on("data", destroy);
      write(ready);
    },

    /**
     * What is written in one turn of the event loop goes out together. False when more than `maxBufferedBytes` are unsent.
     */
    write,

    /** Resolves when the client has taken what there is, or the stream has ended. */
    drained(): Promise<void> {
      if (!isOpen || !socket.writableNeedDrain) return Promise.resolve();
      return new Promise((resolve) => {
        const settle = () => {
          socket.off("drain", settle).off("close", settle);
          resolve();
        };
        socket.on("drain", settle).on("close", settle);
      });
    },

    /** For how long the client has not taken what there is, in milliseconds. */
    blockedMs: (now: number) => (socket.writableNeedDrain ? now - blockedSince : 0),

    /** What the client has not taken. */
    bufferedBytes: () => socket.writableLength,

    /** Who is at the other end of the connection: `address|port`. */
    peer: () => `${socket.remoteAddress}|${socket.remotePort}`,

    /** Ends the stream behind a last frame. Where the client takes nothing it is cut: the end would wait behind that. */
    close(reason: CloseReason, lastFrame?: Frame): void {
      if (!isOpen) return;
      end(reason);
      if (reason === "slow" || reason === "vanished") return void socket.destroy();
      const last = refuse ? refuse() : lastFrame;
      if (last) socket.write(encoded(last, isChunked));
      socket.end(isChunked ? LAST_CHUNK : "");
      socket.destroySoon();
      // Behind unsent data the end may wait for ever.
      const cut = setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
      socket.on("close", () => clearTimeout(cut));
    },
  };
  return stream;
}

/** In one piece: a frame's chunk is never cut by us. */
const encoded = (frame: Frame, isChunked: boolean) => (isChunked ? frame.chunk : frame.bytes);

/** A reset connection; "close" follows. */
function ignore() {}

/** Whoever says more behind the request for a stream says nothing we understand. */
function destroy(this: Socket) {
  this.destroy();
}

/** Writes an event stream's head and takes the socket it goes on with from under the response; corked, with the head in it. */
export function takeSocket(res: Response, lent: LentSocket, isChunked: boolean): Socket {
  if (isChunked) res.setHeader("Transfer-Encoding", "chunked");
  // Node's own chunks would come instead; without any, and without a length, the connection's end is the stream's.
  else res.removeHeader("Transfer-Encoding");
  res.writeHead(200, { ...HEADERS, Connection: "close" });
  // The last chunk is the stream's to send, not that of the response, which ends here.
  res.chunkedEncoding = false;
  const socket = lent.detach();
  res.end();
  return socket;
}
