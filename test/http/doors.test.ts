import { SignJWT } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openService, type Service } from "../support/service.ts";

const SECRET = Buffer.from("a secret that is long enough for HS256");
const AUDIENCE = "bellwire";
const BASE = "/api/notifications";
const OWNER = "the owner";
const OTHER = "somebody else";

let database: TestDatabase;
let service: Service;
/** A notification of OWNER. */
let id: string;
/** Tokens by what is wrong with them. */
let tokens: Record<string, string>;

beforeAll(async () => {
  database = await createDatabase();
  const [row] = await database.query<{ id: string }>(
    "select bellwire.notify($1, 'note', title => 'secret of the owner')::text as id",
    [OWNER],
  );
  id = row?.id ?? "";
  tokens = {
    good: await sign(OWNER),
    expired: await sign(OWNER, { exp: seconds() - 1 }),
    "for another audience": await sign(OWNER, { aud: "another service" }),
    "signed by another algorithm": await sign(OWNER, {}, "HS512"),
    "somebody else's": await sign(OTHER),
    revoked: await sign("the revoked"),
  };
  await database.query("select bellwire.revoke('the revoked')");
  service = await openService({ databaseUrl: database.url, env: { JWT_AUDIENCE: AUDIENCE } });
  return async () => {
    await service.close();
    await database.close();
  };
});

const seconds = () => Math.floor(Date.now() / 1000);

function sign(sub: string, claims: object = {}, alg = "HS256"): Promise<string> {
  const payload = { sub, aud: AUDIENCE, iat: seconds() - 5, exp: seconds() + 3600, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg }).sign(SECRET);
}

interface Route {
  method: string;
  path: () => string;
  body?: object;
  /** The status for another recipient with a valid token: the same as if the owner had nothing. */
  other: number;
}

const ROUTES: Record<string, Route> = {
  list: { method: "GET", path: () => BASE, other: 200 },
  "the page before the owner's": { method: "GET", path: () => `${BASE}?before=${id}0`, other: 200 },
  stream: { method: "GET", path: () => `${BASE}/stream`, other: 200 },
  "stream, its head": { method: "HEAD", path: () => `${BASE}/stream`, other: 200 },
  poll: { method: "GET", path: () => `${BASE}/poll`, other: 200 },
  count: { method: "GET", path: () => `${BASE}/unread-count`, other: 200 },
  mark: { method: "PATCH", path: () => `${BASE}/${id}`, body: { archived: true }, other: 404 },
  "mark all read": { method: "POST", path: () => `${BASE}/mark-all-read`, body: {}, other: 200 },
  "mark all seen": { method: "POST", path: () => `${BASE}/mark-all-seen`, body: {}, other: 200 },
  "read preferences": { method: "GET", path: () => `${BASE}/preferences`, other: 200 },
  "write preferences": {
    method: "PUT",
    path: () => `${BASE}/preferences`,
    body: { mutedTypes: ["note"] },
    other: 200,
  },
  ticket: { method: "POST", path: () => `${BASE}/tickets`, other: 200 },
  "no route": { method: "GET", path: () => `${BASE}/no/such/route`, other: 404 },
};

async function ask({ method, path, body }: Route, token?: string) {
  const abort = new AbortController();
  const response = await fetch(service.url + path(), {
    method,
    signal: abort.signal,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body ? { "content-type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const { status, headers } = response;
  const isStream = headers.get("content-type")?.startsWith("text/event-stream");
  const text = isStream ? await firstEvent(response) : await response.text();
  abort.abort();
  return { status, headers, text };
}

/** The text of a stream up to the end of its first event, or all of any other response. */
async function firstEvent(response: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.includes("\n\n")) break;
  }
  return text;
}

/** The response to each token, whatever the route. */
const REFUSALS: Record<string, [status: number, code: string]> = {
  missing: [401, "token_missing"],
  expired: [401, "token_invalid"],
  "for another audience": [401, "token_invalid"],
  "signed by another algorithm": [401, "token_invalid"],
  revoked: [401, "token_invalid"],
};

const DETAILS: Record<string, string> = {
  token_missing: "Send an Authorization: Bearer header.",
  token_invalid: "The token is not valid, or is no longer valid.",
};

describe.each(Object.entries(ROUTES))("%s", (_, route) => {
  test("refuses a token that is missing, expired, revoked, for another audience or of another algorithm", async () => {
    for (const [state, [status, code]] of Object.entries(REFUSALS)) {
      const answer = await ask(route, tokens[state]);
      expect(answer.status, state).toBe(status);
      expect(answer.headers.get("www-authenticate"), state).toBe(
        code === "token_missing" ? "Bearer" : 'Bearer error="invalid_token"',
      );
      if (route.method === "HEAD") continue;
      expect(answer.headers.get("content-type"), state).toMatch(/^application\/problem\+json/);
      expect(JSON.parse(answer.text), state).toEqual({
        type: "about:blank",
        title: "Unauthorized",
        status,
        code,
        detail: DETAILS[code],
        requestId: answer.headers.get("x-request-id"),
      });
    }
  });

  test("returns none of the owner's data to another recipient", async () => {
    const answer = await ask(route, tokens["somebody else's"]);
    expect(answer.status).toBe(route.other);
    expect(answer.text).not.toContain("secret");
    expect(answer.text).not.toContain(`"${id}"`);
  });
});

test("after all these requests, the owner's data is unchanged", async () => {
  const { text } = await ask(ROUTES.list as Route, tokens.good);
  expect(JSON.parse(text)).toMatchObject({
    notifications: [{ id, title: "secret of the owner", seenAt: null, archivedAt: null }],
    unread: 1,
  });
  const [row] = await database.query<{ muted: string[] }>(
    "select array_agg(recipient_id) as muted from bellwire.preferences",
  );
  expect(row?.muted).toEqual([OTHER]);
});
