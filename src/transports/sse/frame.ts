/** A block of an event stream as it goes out: its bytes, and those as one chunk of HTTP/1.1; both are the same memory. */
export interface Frame {
  readonly bytes: Buffer;
  readonly chunk: Buffer;
}

/** What ends a stream of chunks. https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
export const LAST_CHUNK = "0\r\n\r\n";

/** Bytes and no string: one that waits in a socket takes up to three times its length, in each. */
export function encodeFrame(block: string): Frame {
  const length = Buffer.byteLength(block);
  const size = `${length.toString(16)}\r\n`;
  const chunk = Buffer.from(`${size}${block}\r\n`);
  return { chunk, bytes: chunk.subarray(size.length, size.length + length) };
}
