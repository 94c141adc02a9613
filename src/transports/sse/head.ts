import type { Socket } from "node:net";
import type { Response } from "express";
import { lentSocketOf } from "../../http/lent-socket.ts";

/** These keep proxies from delaying, caching or changing the stream. */
const HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache, no-transform",
  // Caddy 2.6 with `encode` ignores no-transform, and never flushes what it compresses.
  "Content-Encoding": "identity",
  "X-Accel-Buffering": "no",
};

/** Writes an event stream's head, for a response that keeps its socket. */
export function writeHead(res: Response): void {
  res.writeHead(200, HEADERS);
}

/** Writes an event stream's head, then takes the socket away from the response. The socket is corked, with the head in it. */
export function takeSocket(res: Response, isChunked: boolean): Socket {
  const lent = lentSocketOf(res);
  if (!lent) throw new TypeError("a stream takes a lent socket");
  if (isChunked) res.setHeader("Transfer-Encoding", "chunked");
  // Otherwise Node would add chunks. Without chunks and without a length, the stream ends where the connection ends.
  else res.removeHeader("Transfer-Encoding");
  res.writeHead(200, { ...HEADERS, Connection: "close" });
  // The response ends here, but must not send the last chunk: the stream sends it when the stream ends.
  res.chunkedEncoding = false;
  const socket = lent.detach();
  res.end();
  return socket;
}
