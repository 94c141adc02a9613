import type { Socket } from "node:net";
import type { CloseReason } from "../../connections/close-reason.ts";
import type { Connection, Outlet } from "../../connections/connection.ts";
import { type Frame, LAST_CHUNK } from "./frame.ts";
import type { Frames } from "./frames.ts";

/** How long a client may take to read to the end of a stream that was ended. */
const LAST_WORDS_MS = 5000;

export interface EventStreamOptions {
  /** As its head has said. */
  isChunked: boolean;
  maxBufferedBytes: number;
  frames: Pick<Frames, "ready" | "event" | "reset" | "notice" | "farewell">;
  /** What the client is told where the stream ends before it has begun. */
  refusal: () => Frame;
  /** When the client should reconnect, should the stream break; in milliseconds. */
  retryMs: () => number;
  onClose: (reason: CloseReason) => void;
}

/**
 * One open event stream: the socket that is left of a response, and how much of it the client has not taken. Calls
 * `onClose` once, whoever ended it. Writing to a closed stream does nothing.
 */
export function openEventStream(socket: Socket, options: EventStreamOptions): Connection & Outlet {
  const { isChunked, maxBufferedBytes, frames, retryMs, onClose } = options;
  let isOpen = true;
  /** Let go of when the stream begins: thousands are open, and each function of a stream's own takes 64 bytes. */
  let refuse: (() => Frame) | undefined = options.refusal;
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

  /** What is written in one turn of the event loop goes out together. False when more than `maxBufferedBytes` are unsent. */
  function write(frame: Frame): boolean {
    if (!isOpen) return true;
    if (!isGathering) {
      isGathering = true;
      socket.cork();
      process.nextTick(sendGathered);
    }
    const wasBlocked = socket.writableNeedDrain;
    if (!socket.write(bytesOf(frame, isChunked)) || socket.writableLength > maxBufferedBytes) {
      // Enough to be sent at once: only what the kernel does not take is unsent.
      socket.uncork();
      socket.cork();
      if (!wasBlocked) blockedSince = performance.now();
    }
    return socket.writableLength <= maxBufferedBytes;
  }

  const stream = {
    socket,
    hasBegun: false,

    /** Nothing may be written before this: some clients forget their position at a first event without an id. */
    ready(...[counts, resumeAt]: Parameters<Outlet["ready"]>): void {
      stream.hasBegun = true;
      refuse = undefined;
      socket.on("data", destroy);
      write(frames.ready(counts, resumeAt, retryMs()));
    },

    send: (event: Parameters<Outlet["send"]>[0]) => write(frames.event(event)),

    reset: (...args: Parameters<Outlet["reset"]>) => void write(frames.reset(...args)),

    tell: (notice: Parameters<Connection["tell"]>[0]) => void write(frames.notice(notice)),

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

    blockedMs: (now: number) => (socket.writableNeedDrain ? now - blockedSince : 0),

    /** Ends the stream behind a last frame. Where the client takes nothing it is cut: the end would wait behind that. */
    close(reason: CloseReason, reconnectMs?: number): void {
      if (!isOpen) return;
      end(reason);
      if (reason === "slow" || reason === "vanished") return void socket.destroy();
      const last = refuse ? refuse() : frames.farewell(reason, reconnectMs);
      if (last) socket.write(bytesOf(last, isChunked));
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
const bytesOf = (frame: Frame, isChunked: boolean) => (isChunked ? frame.chunk : frame.bytes);

/** A reset connection; "close" follows. */
function ignore() {}

/** A client that sends more behind its request for a stream sends nothing we understand. */
function destroy(this: Socket) {
  this.destroy();
}
