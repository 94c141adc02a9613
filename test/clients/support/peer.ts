import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** How the server answers a request for a stream, and ends it. */
export type Answer = (socket: Socket) => void | Promise<void>;

/** A request for a stream: its `Last-Event-ID`, when it came, and when its connection ended. */
export interface Opening {
  lastEventId: string | undefined;
  openedAt: number;
  closedAt: number | undefined;
}

export const HEAD =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
export const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
export const LAST_CHUNK = "0\r\n\r\n";
export const status = (line: string) =>
  `HTTP/1.1 ${line}\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;

/**
 * A server that sends given bytes: the first answer to the first request, and so on. All further requests get the last answer, and
 * from then on requests for anything else get 401 too.
 */
export async function startPeer(answers: Answer[]) {
  const openings: Opening[] = [];

  async function answer(socket: Socket, request: string) {
    if (!request.startsWith("GET /api/notifications/stream")) {
      const isSignedOut = openings.length >= answers.length;
      return socket.end(status(isSignedOut ? "401 Unauthorized" : "200 OK"));
    }
    const opening: Opening = {
      lastEventId:
        /^last-event-id: *([^\r]+)/im.exec(request)?.[1] ??
        /[?&]lastEventId=([^& ]+)/.exec(request)?.[1],
      openedAt: performance.now(),
      closedAt: undefined,
    };
    openings.push(opening);
    await answers[Math.min(openings.length, answers.length) - 1]?.(socket);
    opening.closedAt = performance.now();
  }

  const server = createServer((socket) => {
    let request = "";
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      request += bytes;
      if (!request.endsWith("\r\n\r\n")) return;
      void answer(socket, request);
      request = "";
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return { url: `http://127.0.0.1:${port}`, openings };
}
