import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { ErrorRequestHandler, RequestHandler, Response } from "express";
import { DatabaseUnavailableError, isUntranslatable } from "../db/unavailable.ts";
import type { Logger } from "../logger.ts";
import { type ProblemCode, statusOf } from "./problem-codes.ts";
import type { ReportRefusal } from "./refusals.ts";

/**
 * An error that is sent to the client as RFC 9457 `application/problem+json`. `code` is stable; `detail` says what to do
 * and never quotes the client's input.
 */
export class Problem extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  readonly headers: Readonly<Record<string, string>>;
  /** For the operator's log; not sent to the client. */
  readonly reason: string | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    options: {
      headers?: Record<string, string>;
      cause?: unknown;
      reason?: string | undefined;
    } = {},
  ) {
    super(detail, { cause: options.cause });
    this.name = "Problem";
    this.status = statusOf(code);
    this.code = code;
    this.headers = options.headers ?? {};
    this.reason = options.reason;
  }
}

/** Retry-After with jitter, between `seconds` and twice that, so that clients do not all retry at once. */
export const retryAfter = (seconds: number) => ({
  "Retry-After": String(Math.ceil(seconds * (1 + Math.random()))),
});

export const unavailable = (cause?: unknown) =>
  new Problem("unavailable", "The database does not answer. Try again.", {
    headers: retryAfter(2),
    cause,
  });

/** Sets the version and a request id on every response. A problem and the log have the same id. */
export const labelResponse =
  (version: string): RequestHandler =>
  (_req, res, next) => {
    res.locals.requestId = randomUUID();
    res.set({ "X-Service-Version": version, "X-Request-Id": res.locals.requestId });
    next();
  };

export const notFound: RequestHandler = () => {
  throw new Problem("route_unknown", "There is no such route.");
};

/** The one place that turns an error into a response and a log line. */
export function problemHandler(log: Logger, report: ReportRefusal): ErrorRequestHandler {
  return (err, _req, res, next) => {
    const problem = toProblem(err);
    const { requestId } = res.locals;
    // A 503 is temporary and not a bug, so it is logged as a warning.
    if (problem.status === 503) log.warn({ err, requestId, code: problem.code }, "cannot answer");
    else if (problem.status >= 500) log.error({ err, requestId }, "request failed");
    else if (problem.reason) report(problem.reason, requestId);
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
    .send(problemJson(code, message, res.locals.requestId));
}

/** The body of a problem. */
export function problemJson(code: ProblemCode, detail: string, requestId: string): string {
  const status = statusOf(code);
  const title = STATUS_CODES[status];
  return JSON.stringify({ type: "about:blank", title, status, code, detail, requestId });
}

/** Express and the demo's body parser throw errors with a status below 500. Every other error is a bug of the service. */
function toProblem(err: unknown): Problem {
  if (err instanceof Problem) return err;
  const status = err instanceof Error && "status" in err ? Number(err.status) : 500;
  if (status === 413) return new Problem("body_too_large", "The body may have at most 16 KB.");
  if (status === 415) return new Problem("body_encoding", "Send the body as UTF-8 JSON.");
  if (status >= 400 && status < 500)
    return new Problem("request_malformed", "The request could not be parsed.");
  if (err instanceof DatabaseUnavailableError) return unavailable(err);
  if (isUntranslatable(err))
    return new Problem(
      "request_invalid",
      "The database's encoding lacks a character of the request.",
    );
  return new Problem("internal", "The service failed. Try again.");
}
