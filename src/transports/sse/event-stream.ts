import type { Socket } from "node:net";
import type { CloseReason } from "../../connections/close-reason.ts";
import type { Connection, Outlet } from "../../connections/connection.ts";
import type { Frames } from "../../connections/frames.ts";
import { bytesOf, type Frame, LAST_CHUNK } from "./frame.ts";

/** After the service has ended a stream, its client has this long to read the rest. */
const LAST_WORDS_MS = 5000;

/** What all streams have in common. */
export interface StreamSettings {
  maxBufferedBytes: number;
  frames: Pick<Frames<Frame>, "ready" | "event" | "reset" | "notice" | "farewell">;
  /** How long the client should wait before it reconnects, if the stream breaks. */
  retryMs: () => number;
}

export interface EventStreamOptions {
  /** Whether the response's head says `Transfer-Encoding: chunked`. */
  isChunked: boolean;
  /** The frame that the client gets if the stream ends before it has begun. */
  refusal: () => Frame;
  onClose: (reason: CloseReason) => void;
}

/**
 * One open event stream, on a socket that was taken from a response. Calls `onClose` once, whichever side closes it. A write to
 * a closed stream does nothing.
 */
export const openEventStream = (
  socket: Socket,
  options: EventStreamOptions,
  settings: StreamSettings,
): Connection & Outlet => new EventStream(socket, options, settings);

/** A class, because thousands are open: each function that an object has of its own takes 56 bytes. */
class EventStream implements Connection, Outlet {
  readonly socket: Socket;
  hasBegun = false;
  readonly #isChunked: boolean;
  readonly #onClose: (reason: CloseReason) => void;
  readonly #settings: StreamSettings;
  /** Dropped when the stream begins. */
  #refusal: (() => Frame) | undefined;
  #isOpen = true;
  /** The socket is corked. It may be corked from the start, with the response's head in it; the first frame goes out with that. */
  #isGathering = true;
  /** Since when data has waited for the client, by `performance.now()`. Meaningless while no data waits. */
  #blockedSince = 0;

  constructor(socket: Socket, options: EventStreamOptions, settings: StreamSettings) {
    this.socket = socket;
    this.#isChunked = options.isChunked;
    this.#onClose = options.onClose;
    this.#settings = settings;
    this.#refusal = options.refusal;
    if (socket.writableCorked === 0) socket.cork();
    process.nextTick(sendGathered, this);
    socket.on("close", () => this.#end("client"));
    socket.on("error", ignore);
    socket.allowHalfOpen = false;
    // Data that arrives before the stream begins may be the request's body, and is ignored.
    socket.resume();
  }

  #end(reason: CloseReason): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#onClose(reason);
  }

  sendGathered(): void {
    this.#isGathering = false;
    this.socket.uncork();
  }

  /** Frames written in one turn of the event loop go out together. False when more than `maxBufferedBytes` are unsent. */
  #write(frame: Frame): boolean {
    if (this.#isOpen && !this.#isGathering) {
      this.#isGathering = true;
      this.socket.cork();
      process.nextTick(sendGathered, this);
    }
    return this.#put(frame);
  }

  #put(frame: Frame): boolean {
    if (!this.#isOpen) return true;
    const { socket } = this;
    const { maxBufferedBytes } = this.#settings;
    const wasBlocked = socket.writableNeedDrain;
    if (
      !socket.write(bytesOf(frame, this.#isChunked)) ||
      socket.writableLength > maxBufferedBytes
    ) {
      if (this.#isGathering) {
        // There is enough to send now. After the uncork, `writableLength` has only the bytes that the kernel did not take.
        socket.uncork();
        socket.cork();
      }
      if (!wasBlocked) this.#blockedSince = performance.now();
    }
    return socket.writableLength <= maxBufferedBytes;
  }

  /** Must be the first event: it has an id, and some clients forget their position at a first event without one. */
  ready(...[counts, resumeAt]: Parameters<Outlet["ready"]>): void {
    this.hasBegun = true;
    this.#refusal = undefined;
    this.socket.on("data", destroy);
    const { frames, retryMs } = this.#settings;
    this.#write(frames.ready(counts, resumeAt, retryMs()));
  }

  send(event: Parameters<Outlet["send"]>[0]): boolean {
    return this.#write(this.#settings.frames.event(event));
  }

  reset(...args: Parameters<Outlet["reset"]>): void {
    this.#write(this.#settings.frames.reset(...args));
  }

  /** Comes alone, so it is not gathered: to cork a socket until the end of the turn makes twice as much garbage again. */
  tell(notice: Parameters<Connection["tell"]>[0]): void {
    this.#put(this.#settings.frames.notice(notice));
  }

  blockedMs(now: number): number {
    return this.socket.writableNeedDrain ? now - this.#blockedSince : 0;
  }

  /** Ends the stream after a last frame. A slow or vanished client is cut instead, because the frame would wait behind unsent data. */
  close(reason: CloseReason, reconnectMs?: number): void {
    if (!this.#isOpen) return;
    this.#end(reason);
    const { socket } = this;
    if (reason === "slow" || reason === "vanished") return void socket.destroy();
    const last = this.#refusal?.() ?? this.#settings.frames.farewell(reason, reconnectMs);
    if (last) socket.write(bytesOf(last, this.#isChunked));
    socket.end(this.#isChunked ? LAST_CHUNK : "");
    socket.destroySoon();
    // Without this the end could wait behind unsent data for ever.
    const cut = setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
    socket.on("close", () => clearTimeout(cut));
  }
}

/** Shared, so that a write makes no function for the end of its turn. */
function sendGathered(stream: EventStream) {
  stream.sendGathered();
}

/** The connection was reset; "close" follows. */
function ignore() {}

/** A client that sends data after its request for a stream does not speak our protocol. */
function destroy(this: Socket) {
  this.destroy();
}
