import type { IncomingMessage } from "node:http";

/**
 * Whether a stream is sent to this client in chunks, or as plain bytes until the connection ends. Chunks are the rule. Without
 * them urllib3 (and so Python's requests) waits until its buffer is full, nginx with buffering waits until the stream has ended,
 * and Varnish holds the first event back until the second.
 *
 * There are two exceptions. HTTP/1.0 has no chunks. HAProxy without `option http-no-delay` delays each chunk by 205 ms, but not
 * plain bytes. It is recognised by its lower-case header names. A browser behind it needs no chunks and gets none. Other clients
 * behind it get chunks, because a late event is better than none. (Measured: `test/faults/framing.test.ts`.)
 */
export function wantsChunks({ httpVersion, rawHeaders, headers }: IncomingMessage): boolean {
  if (httpVersion === "1.0") return false;
  const isLowerCase = rawHeaders.some((name, i) => i % 2 === 0 && name === "host");
  return !isLowerCase || !isBrowser(headers);
}

/** Also true for Node's fetch, which sends `Sec-Fetch-Mode` as browsers do, and reads plain bytes at once. */
const isBrowser = (headers: IncomingMessage["headers"]) =>
  headers["sec-fetch-mode"] !== undefined || /^Mozilla\//.test(headers["user-agent"] ?? "");
