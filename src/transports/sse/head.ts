import type { Socket } from "node:net";
import type { Response } from "express";
import { LentSocket } from "../../http/lent-socket.ts";

/** Nobody may hold the stream back, keep it, or change it on the way. */
const HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache, no-transform",
  // Caddy 2.6 with `encode` does not care about no-transform, and never flushes what it compresses.
  "Content-Encoding": "identity",
  "X-Accel-Buffering": "no",
};

/** Writes an event stream's head, for a response that ends as responses do. */
export function writeHead(res: Response): void {
  res.writeHead(200, HEADERS);
}

/**
 * Whether the response's socket can be taken. Not behind another response on its connection (pipelining): nobody would tell us when
 * the client has gone.
 */
export const isFirstOnSocket = ({ socket }: Response): boolean =>
  socket instanceof LentSocket && socket.writableLength === 0;

/** Writes an event stream's head and takes the socket it goes on with from under the response; corked, with the head in it. */
export function takeSocket(res: Response, isChunked: boolean): Socket {
  if (!(res.socket instanceof LentSocket)) throw new TypeError("a stream takes a lent socket");
  const lent = res.socket;
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
