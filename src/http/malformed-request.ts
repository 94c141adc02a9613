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

/** The problem for each error code of Node's parser. Every other code is MALFORMED. */
const CODES: Record<string, typeof MALFORMED> = {
  HPE_HEADER_OVERFLOW: ["headers_too_large", "The URL and headers may have at most 16 KB."],
  ERR_HTTP_REQUEST_TIMEOUT: ["request_timeout", "Send the whole request within 15 seconds."],
};

/**
 * Replies with problem+json when Node rejects a connection: not HTTP, headers over 16 KB, or a request not complete in
 * 15 s. Node's default is a status without a body. The connection is closed afterwards.
 */
export function answerMalformedRequests(server: Server, version: string): void {
  const answers = new WeakMap<Socket, ServerResponse>();
  server.on("request", ({ socket }, res) => {
    answers.set(socket, res);
    res.once("close", () => answers.delete(socket));
  });
  server.on("clientError", (err: NodeJS.ErrnoException, socket: Socket) => {
    // If a response has begun (a stream whose client sends garbage), no other response can follow.
    if (!socket.writable || answers.get(socket)?.headersSent) socket.destroy();
    else refuseAndClose(socket, version, ...(CODES[err.code ?? ""] ?? MALFORMED));
  });
}

/** Wraps the Express app: a URL that Express cannot decode also gets problem+json. Its default would be an HTML page. */
export function toRequestListener(app: Express, version: string): RequestListener {
  return (req, res) => {
    app(req as Request, res as Response, () => {
      if (res.headersSent) req.socket.destroy();
      else refuseAndClose(req.socket, version, ...MALFORMED);
    });
  };
}

function refuseAndClose(socket: Socket, version: string, code: ProblemCode, detail: string): void {
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
