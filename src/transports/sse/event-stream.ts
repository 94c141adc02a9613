import type { Socket } from "node:net";
import type { CloseReason } from "../../connections/close-reason.ts";
import type { Connection, Outlet } from "../../connections/connection.ts";
import { drained } from "../../connections/drained.ts";
import type { Frames } from "../../connections/frames.ts";
import { type Frame, LAST_CHUNK } from "./frame.ts";

/** How long a client may take to read to the end of a stream that was ended. */
const LAST_WORDS_MS = 5000;

export interface EventStreamOptions {
  /** Whether its head said `Transfer-Encoding: chunked`. */
  isChunked: boolean;
  maxBufferedBytes: number;
  frames: Pick<Frames<Frame>, "ready" | "event" | "reset" | "notice" | "farewell">;
  /** The frame that a client gets when the stream ends before it has begun. */
  refusal: () => Frame;
  /** How long the client should wait before it reconnects if the stream breaks. */
  retryMs: () => number;
  onClose: (reason: CloseReason) => void;
}

/**
 * One open event stream on the socket that was taken from a response. Calls `onClose` once, whichever side ended it. Writing to
 * a closed stream does nothing.
 */
export function openEventStream(socket: Socket, options: EventStreamOptions): Connection & Outlet {
  const { isChunked, maxBufferedBytes, frames, retryMs, onClose } = options;
  let isOpen = true;
  /** Dropped when the stream begins: thousands are open, and each function of a single stream takes 64 bytes. */
  let refuse: (() => Frame) | undefined = options.refusal;
  /** The socket is corked. It may come so, with the response's head, which then goes out with the first frame. */
  let isGathering = true;
  /** Since when data has been waiting for the client, by `performance.now()`; meaningless while none is. */
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
  // Data that comes before the stream begins may be the request's body.
  socket.resume();

  /** Frames written in one turn of the event loop go out together. False when more than `maxBufferedBytes` are unsent. */
  function write(frame: Frame): boolean {
    if (!isOpen) return true;
    if (!isGathering) {
      isGathering = true;
      socket.cork();
      process.nextTick(sendGathered);
    }
    const wasBlocked = socket.writableNeedDrain;
    if (!socket.write(bytesOf(frame, isChunked)) || socket.writableLength > maxBufferedBytes) {
      // Enough to send at once. Afterwards the unsent bytes are those that the kernel did not take.
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

    drained: () => drained(socket),

    blockedMs: (now: number) => (socket.writableNeedDrain ? now - blockedSince : 0),

    /** Ends the stream after a last frame. A client that takes nothing is cut, because the end would wait behind the unsent data. */
    close(reason: CloseReason, reconnectMs?: number): void {
      if (!isOpen) return;
      end(reason);
      if (reason === "slow" || reason === "vanished") return void socket.destroy();
      const last = refuse ? refuse() : frames.farewell(reason, reconnectMs);
      if (last) socket.write(bytesOf(last, isChunked));
      socket.end(isChunked ? LAST_CHUNK : "");
      socket.destroySoon();
      // The end may wait behind unsent data for ever.
      const cut = setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
      socket.on("close", () => clearTimeout(cut));
    },
  };
  return stream;
}

/** In one piece: we never split a frame's chunk. */
const bytesOf = (frame: Frame, isChunked: boolean) => (isChunked ? frame.chunk : frame.bytes);

/** A reset connection; "close" follows. */
function ignore() {}

/** A client that sends more behind its request for a stream sends nothing we understand. */
function destroy(this: Socket) {
  this.destroy();
}
