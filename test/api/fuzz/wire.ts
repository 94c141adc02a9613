import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface Answer {
  status: number;
  /** By name in lower case. */
  headers: Map<string, string>;
  body: string;
}

export interface Exchange {
  port: number;
  request: Buffer;
  /** The response to HEAD lacks the body that its headers describe. */
  isHead: boolean;
  /** Closes our side after the request, so that a missing part of it will not come. */
  isUnfinished: boolean;
}

/** Far more than any response takes, and less than the 15 s that the service gives an incomplete request. */
const HANG_MS = 8000;

/**
 * Sends any bytes, and resolves with the first response, or with undefined if the service cuts the connection before the response is
 * complete. The body of an event stream is everything up to its first event. Rejects if neither happens in time.
 */
export async function exchange({ port, request, isHead, isUnfinished }: Exchange) {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const timer = setTimeout(() => socket.destroy(new Error("No answer came, and no end")), HANG_MS);
  try {
    await once(socket, "connect");
    if (isUnfinished) socket.end(request);
    else socket.write(request);
    return await readAnswer(socket, isHead);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

async function readAnswer(socket: Socket, isHead: boolean): Promise<Answer | undefined> {
  let bytes = Buffer.alloc(0);
  try {
    for await (const chunk of socket) {
      bytes = Buffer.concat([bytes, chunk]);
      const answer = parseAnswer(bytes, isHead);
      if (answer) return answer;
    }
  } catch (err) {
    // The service cut the connection while we were sending.
    if (!isReset(err)) throw err;
  }
  return undefined;
}

const isReset = (err: unknown) =>
  err instanceof Error && "code" in err && (err.code === "ECONNRESET" || err.code === "EPIPE");

/** The response, or undefined while its body is incomplete. Throws if it is not HTTP. */
function parseAnswer(bytes: Buffer, isHead: boolean): Answer | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
  if (!status) throw new Error(`not an answer: ${statusLine}`);
  const rest = bytes.subarray(end + 4);
  if (status < 200) return parseAnswer(rest, isHead);
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const text = rest.toString("utf8");
  if (isHead || status === 204 || status === 304) return { status, headers, body: "" };
  const length = Number(headers.get("content-length"));
  if (Number.isNaN(length)) {
    // An event is one write, so no chunk ends inside it.
    const isTold = /\nid: [^\n]*\n\n/.test(text) || /(^|\n)0\r\n\r\n$/.test(text);
    return isTold ? { status, headers, body: text } : undefined;
  }
  if (rest.length < length) return undefined;
  return { status, headers, body: rest.toString("utf8", 0, length) };
}
