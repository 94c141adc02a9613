import type { Framing } from "./request.ts";
import { CANARY } from "./samples.ts";

type Frame = (body: string, headers: string[]) => Framing;

export const UNFRAMED: Framing = { headers: [], body: "", isHonest: true };

/** The length as every client sends it. */
export const framed: Frame = (body, headers) => ({
  headers: [...headers, `Content-Length: ${body.length}`],
  body,
  isHonest: true,
});

/** Other ways to state the length of a body, including false ones. */
export const FRAMINGS: Frame[] = [
  (body, headers) => chunked(chunksOf(body, body.length), headers),
  (body, headers) => chunked(chunksOf(body.slice(0, 300), 1, `;${CANARY}=1`), headers),
  ...[
    (body: string) => `${CANARY}\r\n${body}\r\n0\r\n\r\n`,
    (body: string) => `ffff\r\n${body}`,
    (body: string) => `1\r\n${body}`,
  ].map(
    (write): Frame =>
      (body, headers) => ({ ...chunked(write(body), headers), isHonest: false }),
  ),
  (body, headers) =>
    lie(body, [...headers, "Transfer-Encoding: chunked", `Content-Length: ${body.length}`]),
  (body, headers) => lie(body, [...headers, `Transfer-Encoding: ${CANARY}`]),
  (body, headers) => lie(body, headers),
  (body, headers) => lie(`${body}${CANARY}`, [...headers, `Content-Length: ${body.length}`]),
  ...["-1", "", CANARY, "1, 2", "0x5", "+5", "5.0", "9".repeat(30)].map(
    (length): Frame =>
      (body, headers) =>
        lie(body, [...headers, `Content-Length: ${length}`]),
  ),
  ...[-1, 1, 1000].map(
    (more): Frame =>
      (body, headers) =>
        lie(body, [...headers, `Content-Length: ${Math.max(0, body.length + more)}`]),
  ),
];

const lie: Frame = (body, headers) => ({ headers, body, isHonest: false });

const chunked: Frame = (body, headers) => ({
  headers: [...headers, "Transfer-Encoding: chunked"],
  body,
  isHonest: true,
});

/** RFC 9112 §7.1 */
function chunksOf(body: string, size: number, extension = ""): string {
  let text = "";
  for (let at = 0; at < body.length; at += size) {
    const data = body.slice(at, at + size);
    text += `${data.length.toString(16)}${extension}\r\n${data}\r\n`;
  }
  return `${text}0\r\n\r\n`;
}
