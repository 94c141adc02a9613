import type { WireEvent } from "../../connections/frames.ts";
import { encodeEvent } from "./server-sent-event.ts";

/** An encoded event. `chunk` has the size and the line end that make it one chunk of HTTP/1.1; `bytes` is the part of it between them. */
export interface Frame {
  readonly bytes: Buffer;
  readonly chunk: Buffer;
}

/** Ends a chunked body. https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
export const LAST_CHUNK = "0\r\n\r\n";

/** Encodes to bytes: a string that waits in a socket would take up to three times its length, in each socket again. */
export function encodeFrame(block: string): Frame {
  const length = Buffer.byteLength(block);
  const size = `${length.toString(16)}\r\n`;
  const chunk = Buffer.from(`${size}${block}\r\n`);
  return { chunk, bytes: chunk.subarray(size.length, size.length + length) };
}

export const toFrame = (event: WireEvent): Frame => encodeFrame(encodeEvent(event));
