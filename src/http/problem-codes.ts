type Codes = Record<string, readonly [status: number, meaning: string]>;

/** Every `code` of the API, with its status and when it is given. Stable: clients decide by it. */
const CODES = {
  request_malformed: [400, "No HTTP, no JSON, or an address that cannot be decoded."],
  request_invalid: [400, "A field is missing, unknown, or not of its kind; `detail` says which."],
  token_missing: [401, "There is no token."],
  token_invalid: [401, "The token or ticket is forged, expired, used up or revoked."],
  origin_refused: [403, "The page that sent the cookie is of an origin that may not use it."],
  notification_unknown: [404, "This recipient has no such notification."],
  route_unknown: [404, "There is no such route."],
  request_timeout: [408, "The request did not come to its end in time."],
  body_too_large: [413, "The body has more than 16 KB."],
  body_not_json: [415, "The body, or a write with a cookie, is not declared as application/json."],
  body_encoding: [415, "The body's charset or compression is not one that is read."],
  too_many_streams: [429, "This recipient has too many streams and waiting polls open."],
  headers_too_large: [431, "The address and headers have more than 16 KB."],
  internal: [500, "A mistake of the service; its log has it by `requestId`."],
  keys_unavailable: [503, "The keys that verify tokens cannot be fetched. Try again."],
  overloaded: [
    503,
    "The service holds as much as it may: streams, polls, or answers that are not taken. Try again.",
  ],
  unavailable: [503, "The database does not answer. Try again."],
} as const satisfies Codes;

/** Those of the demo's own routes, which no client of the API ever gets. */
const DEMO_CODES = {
  user_unknown: [404, "The demo has no such user."],
  act_not_possible: [409, "The demo's marketplace does not allow this (any more)."],
} as const satisfies Codes;

export type PublicCode = keyof typeof CODES;
export type ProblemCode = PublicCode | keyof typeof DEMO_CODES;

export const PROBLEM_CODES = Object.keys(CODES) as PublicCode[];

const ALL_CODES = { ...CODES, ...DEMO_CODES };

export const statusOf = (code: ProblemCode): number => ALL_CODES[code][0];

export const meaningOf = (code: PublicCode): string => CODES[code][1];
