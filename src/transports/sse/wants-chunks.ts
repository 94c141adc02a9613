import type { IncomingMessage } from "node:http";

/**
 * Whether a stream goes to this client in chunks, or as bytes up to the connection's end. Chunks, where nothing speaks
 * against it: without them urllib3 (so Python's requests) waits until its buffer is full, nginx with buffering on
 * until the stream has ended, and Varnish with the first event until the second.
 *
 * HTTP/1.0 has none. And HAProxy without `option http-no-delay` holds each chunk back for 205 ms, other bytes not at
 * all. It shows itself by small letters in the names of headers; a browser behind it needs no chunks and gets
 * none. Whoever else is behind it gets them late rather than never. (Measured: `test/faults/framing.test.ts`.)
 */
export function wantsChunks({ httpVersion, rawHeaders, headers }: IncomingMessage): boolean {
  if (httpVersion === "1.0") return false;
  const isLowerCase = rawHeaders.some((name, i) => i % 2 === 0 && name === "host");
  return !isLowerCase || !isBrowser(headers);
}

/** Of Node's fetch, too, which says how it fetches as browsers do, and takes what comes at once. */
const isBrowser = (headers: IncomingMessage["headers"]) =>
  headers["sec-fetch-mode"] !== undefined || /^Mozilla\//.test(headers["user-agent"] ?? "");
