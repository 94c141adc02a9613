import type { IncomingMessage } from "node:http";

/**
 * Whether a stream goes to this client in chunks, or as plain bytes up to the connection's end. Chunks are the rule: without
 * them urllib3 (and so Python's requests) waits until its buffer is full, nginx with buffering on
 * waits until the stream has ended, and Varnish holds the first event until the second.
 *
 * HTTP/1.0 has no chunks. And HAProxy without `option http-no-delay` delays each chunk by 205 ms, but no plain bytes.
 * HAProxy can be told by the lower-case names of its headers. A browser behind it needs no chunks and gets
 * none; other clients behind it get chunks, late rather than never. (Measured: `test/faults/framing.test.ts`.)
 */
export function wantsChunks({ httpVersion, rawHeaders, headers }: IncomingMessage): boolean {
  if (httpVersion === "1.0") return false;
  const isLowerCase = rawHeaders.some((name, i) => i % 2 === 0 && name === "host");
  return !isLowerCase || !isBrowser(headers);
}

/** True of Node's fetch as well, which sends `Sec-Fetch-Mode` like browsers do, and reads plain bytes at once. */
const isBrowser = (headers: IncomingMessage["headers"]) =>
  headers["sec-fetch-mode"] !== undefined || /^Mozilla\//.test(headers["user-agent"] ?? "");
