import type { Socket } from "node:net";
import { Duplex } from "node:stream";

type Done = (err?: Error | null) => void;

/**
 * A connection as the HTTP server sees it, which can be taken from under it: for the server the client has then gone, so
 * that it gives up parser, request and response, and the socket lives on. A class, for whoever holds a response must be
 * able to ask whether its socket is one of these. https://nodejs.org/api/http.html#event-connection
 */
export class LentSocket extends Duplex {
  readonly #socket: Socket;
  #isTaken = false;

  constructor(socket: Socket) {
    super({ decodeStrings: false });
    this.#socket = socket;
    socket.on("data", (chunk) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("timeout", () => this.emit("timeout"));
    socket.on("error", (err) => this.destroy(err));
    socket.on("close", () => this.destroy());
  }

  /** The socket, without a listener. What the server has written is before what is written to it now. */
  detach(): Socket {
    const socket = this.#socket;
    this.#isTaken = true;
    for (const event of ["data", "end", "timeout", "error", "close"])
      socket.removeAllListeners(event);
    socket.setTimeout(0);
    this.destroy();
    return socket;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: string | Buffer, encoding: BufferEncoding, done: Done): void {
    this.#socket.write(chunk, encoding, done);
  }

  override _writev(
    chunks: { chunk: string | Buffer; encoding: BufferEncoding }[],
    done: Done,
  ): void {
    const socket = this.#socket;
    const last = chunks.pop();
    socket.cork();
    for (const { chunk, encoding } of chunks) socket.write(chunk, encoding);
    if (last) socket.write(last.chunk, last.encoding, done);
    socket.uncork();
  }

  override _final(done: Done): void {
    this.#socket.end(done);
  }

  override _destroy(err: Error | null, done: Done): void {
    if (!this.#isTaken) this.#socket.destroy();
    done(err);
  }

  // What the HTTP server and Express ask a socket for, beside what every stream has.

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", this.destroy);
  }

  setTimeout(ms: number, onTimeout?: () => void): this {
    this.#socket.setTimeout(ms);
    if (onTimeout) this.once("timeout", onTimeout);
    return this;
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort;
  }
}
