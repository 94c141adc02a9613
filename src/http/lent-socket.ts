import type { Socket } from "node:net";
import { Duplex } from "node:stream";

type Done = (err?: Error | null) => void;

/**
 * A connection as the HTTP server sees it, which can be taken from it: the server's answer then ends, so that
 * it gives up parser, request and response (some 15 KB), and the socket lives on. A class, for whoever holds a
 * response must be able to ask whether its socket is one of these. https://nodejs.org/api/http.html#event-connection
 */
export class LentSocket extends Duplex {
  readonly #socket: Socket;
  #isDetached = false;

  readonly #listeners = {
    data: (chunk: Buffer) => {
      if (!this.push(chunk)) this.#socket.pause();
    },
    end: () => this.push(null),
    timeout: () => this.emit("timeout"),
    error: (err: Error) => this.destroy(err),
    close: () => this.destroy(),
  };

  constructor(socket: Socket) {
    super({ decodeStrings: false });
    this.#socket = socket;
    for (const [event, listener] of Object.entries(this.#listeners)) socket.on(event, listener);
  }

  /**
   * The socket itself, from now on the caller's, corked. What is still written here goes there at once; the end of the
   * answer is no end of the socket.
   */
  detach(): Socket {
    const socket = this.#socket;
    this.#isDetached = true;
    for (const [event, listener] of Object.entries(this.#listeners)) socket.off(event, listener);
    socket.setTimeout(0);
    socket.cork();
    return socket;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: string | Buffer, encoding: BufferEncoding, done: Done): void {
    if (!this.#isDetached) return void this.#socket.write(chunk, encoding, done);
    this.#socket.write(chunk, encoding);
    done();
  }

  override _writev(chunks: { chunk: string | Buffer; encoding: BufferEncoding }[], done: Done) {
    const socket = this.#socket;
    socket.cork();
    chunks.forEach(({ chunk, encoding }, i) => {
      socket.write(chunk, encoding, i === chunks.length - 1 ? done : undefined);
    });
    socket.uncork();
  }

  override _final(done: Done): void {
    if (this.#isDetached) done();
    else this.#socket.end(done);
  }

  override _destroy(err: Error | null, done: Done): void {
    if (!this.#isDetached) this.#socket.destroy();
    done(err);
  }

  // What the HTTP server and Express ask of a socket beside that.

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
