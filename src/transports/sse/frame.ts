import type { WireEvent } from "../../connections/frames.ts";
import { encodeEvent } from "./server-sent-event.ts";

/** An encoded event, with the size and the line end that make it one chunk of HTTP/1.1. The event is between them. */
export interface Frame {
  readonly chunk: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Ends a chunked body. https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
export const LAST_CHUNK = "0\r\n\r\n";

/** Encodes to bytes: a string that waits in a socket would take up to three times its length, in each socket again. */
export function encodeFrame(block: string): Frame {
  const length = Buffer.byteLength(block);
  const size = `${length.toString(16)}\r\n`;
  const chunk = Buffer.from(`${size}${block}\r\n`);
  return { chunk, start: size.length, end: size.length + length };
}

/** What is written to a stream. A frame is written in one piece, so its chunk is never split. */
export const bytesOf = ({ chunk, start, end }: Frame, isChunked: boolean): Buffer =>
  isChunked ? chunk : chunk.subarray(start, end);

export const toFrame = (event: WireEvent): Frame => encodeFrame(encodeEvent(event));
