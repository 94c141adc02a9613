import type { Socket } from "node:net";
import type { CloseReason } from "../../connections/close-reason.ts";
import type { Connection, Outlet } from "../../connections/connection.ts";
import type { Frames } from "../../connections/frames.ts";
import { type Frame, LAST_CHUNK } from "./frame.ts";

/** After the service has ended a stream, its client has this long to read the rest. */
const LAST_WORDS_MS = 5000;

export interface EventStreamOptions {
  /** Whether the response's head says `Transfer-Encoding: chunked`. */
  isChunked: boolean;
  maxBufferedBytes: number;
  frames: Pick<Frames<Frame>, "ready" | "event" | "reset" | "notice" | "farewell">;
  /** The frame that the client gets if the stream ends before it has begun. */
  refusal: () => Frame;
  /** How long the client should wait before it reconnects, if the stream breaks. */
  retryMs: () => number;
  onClose: (reason: CloseReason) => void;
}

/**
 * One open event stream, on a socket that was taken from a response. Calls `onClose` once, whichever side closes it. A write to
 * a closed stream does nothing.
 */
export function openEventStream(socket: Socket, options: EventStreamOptions): Connection & Outlet {
  const { isChunked, maxBufferedBytes, frames, retryMs, onClose } = options;
  let isOpen = true;
  /** Dropped when the stream begins: thousands of streams are open, and each closure takes 64 bytes. */
  let refuse: (() => Frame) | undefined = options.refusal;
  /** The socket is corked. It may be corked from the start, with the response's head in it; the first frame goes out with that. */
  let isGathering = true;
  /** Since when data has waited for the client, by `performance.now()`. Meaningless while no data waits. */
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
  // Data that arrives before the stream begins may be the request's body, and is ignored.
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
      // There is enough to send now. After the uncork, `writableLength` has only the bytes that the kernel did not take.
      socket.uncork();
      socket.cork();
      if (!wasBlocked) blockedSince = performance.now();
    }
    return socket.writableLength <= maxBufferedBytes;
  }

  const stream = {
    socket,
    hasBegun: false,

    /** Must be the first event: it has an id, and some clients forget their position at a first event without one. */
    ready(...[counts, resumeAt]: Parameters<Outlet["ready"]>): void {
      stream.hasBegun = true;
      refuse = undefined;
      socket.on("data", destroy);
      write(frames.ready(counts, resumeAt, retryMs()));
    },

    send: (event: Parameters<Outlet["send"]>[0]) => write(frames.event(event)),

    reset: (...args: Parameters<Outlet["reset"]>) => void write(frames.reset(...args)),

    tell: (notice: Parameters<Connection["tell"]>[0]) => void write(frames.notice(notice)),

    blockedMs: (now: number) => (socket.writableNeedDrain ? now - blockedSince : 0),

    /** Ends the stream after a last frame. A slow or vanished client is cut instead, because the frame would wait behind unsent data. */
    close(reason: CloseReason, reconnectMs?: number): void {
      if (!isOpen) return;
      end(reason);
      if (reason === "slow" || reason === "vanished") return void socket.destroy();
      const last = refuse ? refuse() : frames.farewell(reason, reconnectMs);
      if (last) socket.write(bytesOf(last, isChunked));
      socket.end(isChunked ? LAST_CHUNK : "");
      socket.destroySoon();
      // Without this the end could wait behind unsent data for ever.
      const cut = setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
      socket.on("close", () => clearTimeout(cut));
    },
  };
  return stream;
}

/** A frame is written in one piece, so its chunk is never split. */
const bytesOf = (frame: Frame, isChunked: boolean) => (isChunked ? frame.chunk : frame.bytes);

/** The connection was reset; "close" follows. */
function ignore() {}

/** A client that sends data after its request for a stream does not speak our protocol. */
function destroy(this: Socket) {
  this.destroy();
}
