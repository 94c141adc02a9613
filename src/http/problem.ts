import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { ErrorRequestHandler, RequestHandler, Response } from "express";
import type { Logger } from "../logger.ts";

/**
 * An error the client is told of, as RFC 9457 `application/problem+json`. `code` is stable; `detail` says what to do
 * and never quotes what the client sent.
 */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    detail: string,
    options: { headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.headers = options.headers ?? {};
  }
}

/** Gives every request its id, for the problem it may become and for the log. */
export const requestId: RequestHandler = (_req, res, next) => {
  res.locals.requestId = randomUUID();
  res.set("X-Request-Id", res.locals.requestId);
  next();
};

export const notFound: RequestHandler = () => {
  throw new Problem(404, "route_unknown", "There is no such route.");
};

/** The one place where an error becomes an answer and a log line. */
export function problemHandler(log: Logger): ErrorRequestHandler {
  return (err, _req, res, next) => {
    const problem = toProblem(err);
    if (problem.status >= 500)
      log.error({ err, requestId: res.locals.requestId }, "request failed");
    // An open stream cannot become a problem: Express cuts the connection.
    if (res.headersSent) next(err);
    else sendProblem(res, problem);
  };
}

function sendProblem(res: Response, { status, code, message, headers }: Problem) {
  res
    .status(status)
    .set(headers)
    .type("application/problem+json")
    .send(
      JSON.stringify({
        type: "about:blank",
        title: STATUS_CODES[status],
        status,
        code,
        detail: message,
        requestId: res.locals.requestId,
      }),
    );
}

/** What Express and its body parser throw carries a status below 500; everything else is ours to mend. */
function toProblem(err: unknown): Problem {
  if (err instanceof Problem) return err;
  const status = err instanceof Error && "status" in err ? Number(err.status) : 500;
  if (status === 413) return new Problem(413, "body_too_large", "The body may have 16 KB.");
  if (status === 415) return new Problem(415, "body_encoding", "Send the body as UTF-8 JSON.");
  if (status >= 400 && status < 500)
    return new Problem(400, "request_malformed", "The request could not be understood.");
  return new Problem(500, "internal", "Something went wrong here. Try again.");
}
