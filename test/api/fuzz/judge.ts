import { expect } from "vitest";
import { OPERATIONS } from "../../../src/api/operations.ts";
import { RECIPIENT_HEADER } from "../../../src/http/auth/identify.ts";
import { EVENTS, ProblemJson } from "../../../src/http/response-schemas.ts";
import { readVersion } from "../../../src/version.ts";
import { answersElsewhere, type Operation } from "./operations.ts";
import type { FuzzRequest } from "./request.ts";
import { CANARY } from "./samples.ts";
import type { Answer } from "./wire.ts";

/** Node closes the connection without a response to a request to change the protocol. */
const TUNNELS = ["CONNECT", "PRI"];

/** What frameworks add to a response. */
const NOT_OURS = ["x-powered-by", "server", "etag"];

const RECIPIENT = RECIPIENT_HEADER.toLowerCase();

const SERVICE_VERSION = readVersion();

/** What no error may reveal: a query, an internal name, a line of a stack. */
const INSIDE = /\bselect\b|prisma|bellwire|postgres|node_modules|\.[jt]s:\d|\bat \S+ \(/i;

/**
 * Throws if a response is wrong: missing, a 5xx, not in the document for this operation, a malformed problem, a problem that quotes
 * the request, or JSON of another schema. Returns the outcome, such as `200` or `400 request_invalid`.
 */
export function judge(request: FuzzRequest, answer: Answer | undefined): string {
  const { operation, method, isOfOperation, isWhole, isValid } = request;
  if (!answer) {
    expect(isWhole && !TUNNELS.includes(method), "cut without an answer").toBe(false);
    return "cut";
  }
  const { status, headers, body } = answer;
  expect(status, body).toBeLessThan(500);
  const deviation = Object.entries(DEVIATIONS).find(([, isIt]) => isIt(request, answer))?.[0];
  if (deviation) return deviation;
  expect(NOT_OURS.filter((name) => headers.has(name))).toEqual([]);
  // A recipient is told its own id.
  const values = [...headers].map(([name, value]) => (name === RECIPIENT ? "" : value));
  expect(values.join("\n").toLowerCase()).not.toContain(CANARY);
  expect(headers.get("x-service-version")).toBe(SERVICE_VERSION);
  // HEAD has the responses of GET, without the body that tells them apart.
  if (method === "HEAD") return judgeStatus(status);

  const outcome = status < 400 ? `${status}` : judgeProblem(answer);
  // The document cannot say which texts are positions.
  if (isValid && !isAboutCursor(answer))
    expect(["200", "404 notification_unknown"]).toContain(outcome);
  if (isOfOperation && isWhole) expect(operation.answers).toContain(outcome);
  // 204 answers a preflight.
  else if (status !== 204) expect(answersElsewhere).toContain(outcome);
  if (isOfOperation && status === 200) judgeSuccess(operation, answer);
  else if (status < 400) expect(headers.get("content-type") ?? "").not.toContain("problem");
  return outcome;
}

/** Known responses that are not in the document, by their outcome. */
const DEVIATIONS: Record<string, (request: FuzzRequest, answer: Answer) => boolean> = {
  // Express's response to If-None-Match: *.
  "304": ({ headers }, answer) => answer.status === 304 && hasHeader(headers, "if-none-match"),
};

/** Looks at the first thousand headers only, because Node keeps no more. */
const hasHeader = (headers: string[], name: string) =>
  headers
    .flatMap((lines) => lines.split("\r\n"))
    .slice(0, 1000)
    .some((line) => line.toLowerCase().startsWith(`${name}:`));

const isAboutCursor = ({ status, body }: Answer) =>
  status === 400 && body.includes('"code":"request_invalid","detail":"cursor: ');

function judgeStatus(status: number): string {
  expect([...answersElsewhere].map((answer) => Number.parseInt(answer, 10))).toContain(status);
  return `${status} HEAD`;
}

function judgeProblem({ status, headers, body }: Answer): string {
  expect(headers.get("content-type"), body).toBe("application/problem+json; charset=utf-8");
  const problem = ProblemJson.parse(JSON.parse(body));
  expect(problem.status).toBe(status);
  expect(problem.requestId).toBe(headers.get("x-request-id"));
  expect(body.toLowerCase()).not.toContain(CANARY);
  expect(body).not.toMatch(INSIDE);
  return `${status} ${problem.code}`;
}

function judgeSuccess({ method, path }: Operation, { status, headers, body }: Answer) {
  const found = OPERATIONS.find((one) => one.path === path && one.method.toUpperCase() === method);
  const schema = found?.answers[status];
  const type = headers.get("content-type");
  if (schema === "event stream") {
    expect(type).toBe("text/event-stream; charset=utf-8");
    EVENTS.ready.parse(JSON.parse(/^event: ready\ndata: (.*)$/m.exec(body)?.[1] ?? ""));
  } else {
    expect(type).toBe("application/json; charset=utf-8");
    if (!schema) throw new Error(`${method} ${path} has no schema for ${status}`);
    schema.parse(JSON.parse(body));
  }
}
