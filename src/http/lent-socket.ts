import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

type Done = (err?: Error | null) => void;

/**
 * Stands between the HTTP server and a socket, so that a stream can take the socket away from the server. The response then
 * ends, which frees its parser, request and response (about 15 KB), while the socket stays open. It is a class because a route
 * checks with `instanceof` whether its response has such a socket. https://nodejs.org/api/http.html#event-connection
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
   * Returns the socket, corked, to a caller that owns it from now on. Later writes to this object still reach the socket at once.
   * The end of this object no longer ends the socket.
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

  // The rest is what the HTTP server and Express call on a socket.

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

/**
 * The response's socket, if it can be taken. With HTTP pipelining, another response may be unsent on the same connection. Then it
 * cannot be taken, because Node would not report that the client has left.
 */
export function lentSocketOf({ socket }: ServerResponse): LentSocket | undefined {
  return socket instanceof LentSocket && socket.writableLength === 0 ? socket : undefined;
}
