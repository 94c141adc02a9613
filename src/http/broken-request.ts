import { randomUUID } from "node:crypto";
import { type RequestListener, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Express, Request, Response } from "express";
import { problemJson } from "./problem.ts";
import { type ProblemCode, statusOf } from "./problem-codes.ts";

const MALFORMED: [ProblemCode, detail: string] = [
  "request_malformed",
  "The request could not be parsed.",
];

/** What Node's parser gives up on, by the code it gives up with. Everything else is MALFORMED. */
const CODES: Record<string, typeof MALFORMED> = {
  HPE_HEADER_OVERFLOW: ["headers_too_large", "The URL and headers may have at most 16 KB."],
  ERR_HTTP_REQUEST_TIMEOUT: ["request_timeout", "Send the whole request within 15 seconds."],
};

/**
 * Answers with a problem what is no request, or not to its end: no HTTP, headers that are too long, what comes too slowly.
 * Node would answer with the bare status. The connection ends behind it.
 */
export function answerBrokenRequests(server: Server, version: string): void {
  const answers = new WeakMap<Socket, ServerResponse>();
  server.on("request", ({ socket }, res) => {
    answers.set(socket, res);
    res.once("close", () => answers.delete(socket));
  });
  server.on("clientError", (err: NodeJS.ErrnoException, socket: Socket) => {
    // In the middle of an answer (a stream whose client sends garbage) there is no place for another.
    if (!socket.writable || answers.get(socket)?.headersSent) socket.destroy();
    else breakOff(socket, version, ...(CODES[err.code ?? ""] ?? MALFORMED));
  });
}

/** Express, and an end like that for what it finds no way for: an address that is none. Its own would be a page. */
export function asListener(app: Express, version: string): RequestListener {
  return (req, res) => {
    app(req as Request, res as Response, () => {
      if (res.headersSent) req.socket.destroy();
      else breakOff(req.socket, version, ...MALFORMED);
    });
  };
}

function breakOff(socket: Socket, version: string, code: ProblemCode, detail: string): void {
  const id = randomUUID();
  const body = problemJson(code, detail, id);
  const status = statusOf(code);
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      "Content-Type: application/problem+json; charset=utf-8",
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${id}`,
      `X-Service-Version: ${version}`,
      "Connection: close",
      "",
      body,
    ].join("\r\n"),
  );
}
