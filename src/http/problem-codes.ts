type Codes = Record<string, readonly [status: number, meaning: string]>;

/** Every `code` of the API with its status and meaning. Stable, because clients branch on it. */
const CODES = {
  request_malformed: [400, "The request is not valid HTTP or JSON, or its URL cannot be decoded."],
  request_invalid: [400, "A field is missing, unknown or has a wrong value; `detail` says which."],
  token_missing: [401, "The request has no token."],
  token_invalid: [401, "The token or ticket is forged, expired, revoked or already used."],
  origin_refused: [403, "The origin of the page that sent the cookie is not allowed."],
  notification_unknown: [404, "This recipient has no such notification."],
  route_unknown: [404, "There is no such route."],
  request_timeout: [408, "The request took too long to arrive."],
  body_too_large: [413, "The body is larger than 16 KB."],
  body_not_json: [
    415,
    "The `Content-Type` of a body, or of a write with a cookie, is not application/json.",
  ],
  body_encoding: [415, "The body is not plain UTF-8: another charset, or compressed."],
  too_many_streams: [429, "This recipient has too many open streams and waiting polls."],
  headers_too_large: [431, "The URL and headers are larger than 16 KB."],
  internal: [500, "The service failed; its log has the error under `requestId`."],
  keys_unavailable: [503, "The keys that verify tokens cannot be fetched. Try again."],
  overloaded: [
    503,
    "A limit of the service is reached: streams, polls, or responses that clients do not read. Try again.",
  ],
  unavailable: [503, "The database does not answer. Try again."],
} as const satisfies Codes;

/** The codes of the demo's own routes, which the API never returns. */
const DEMO_CODES = {
  user_unknown: [404, "The demo has no such user."],
  act_not_possible: [409, "The demo's marketplace does not allow this, or no longer."],
} as const satisfies Codes;

export type PublicCode = keyof typeof CODES;
export type ProblemCode = PublicCode | keyof typeof DEMO_CODES;

export const PROBLEM_CODES = Object.keys(CODES) as PublicCode[];

const ALL_CODES = { ...CODES, ...DEMO_CODES };

export const statusOf = (code: ProblemCode): number => ALL_CODES[code][0];

export const meaningOf = (code: PublicCode): string => CODES[code][1];
