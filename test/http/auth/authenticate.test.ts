import { createHmac, createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CompactEncrypt, exportJWK, type JWK, type JWTPayload, SignJWT } from "jose";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream, REFUSAL } from "../../support/event-source.ts";
import { openService, type Service, startService } from "../../support/service.ts";

const SECRET = "a secret that is long enough for HS256";
const COUNT = "/api/notifications/unread-count";
const STREAM = "/api/notifications/stream";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const otherRsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  return database.close;
});

let service: Service;
beforeAll(async () => {
  service = await openService({ databaseUrl: database.url });
  return service.close;
});

/** A service of its own, for one test. */
function start(env: Record<string, string> = {}): Promise<Service> {
  return startService({ databaseUrl: database.url, env });
}

const seconds = () => Math.floor(Date.now() / 1000);
const secret = Buffer.from(SECRET);

/** A token for 42 that is valid for an hour, unless the claims or the header say otherwise. */
function sign(
  key: KeyObject | Uint8Array,
  alg: string,
  claims: JWTPayload = {},
  header: { kid?: string; typ?: string; jwk?: JWK; jku?: string; x5u?: string } = {},
): Promise<string> {
  const payload = { sub: "42", iat: seconds(), exp: seconds() + 3600, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg, ...header }).sign(key);
}

async function ask(service: Service, headers: Record<string, string>, path = COUNT) {
  const response = await fetch(service.url + path, { headers });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  const body: any = await response.json();
  return { status: response.status, headers: response.headers, body };
}

const askAs = (service: Service, token: string, path = COUNT) =>
  ask(service, { authorization: `Bearer ${token}` }, path);

/** What the response says about any invalid token. */
const INVALID = {
  type: "about:blank",
  title: "Unauthorized",
  status: 401,
  code: "token_invalid",
  detail: "The token is not valid, or is no longer valid.",
  requestId: expect.any(String),
};

const pem = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();

describe("keys", () => {
  test("JWT_SECRET verifies HS256", async () => {
    expect(await askAs(service, await sign(secret, "HS256"))).toMatchObject({
      status: 200,
      body: { count: 0, unseen: 0 },
    });
  });

  test.each([
    ["RS256", rsa],
    ["ES256", ec],
    ["EdDSA", ed],
  ])("JWT_PUBLIC_KEY verifies %s and nothing else", async (alg, { publicKey, privateKey }) => {
    const own = await start({ JWT_SECRET: "", JWT_PUBLIC_KEY: pem(publicKey) });
    expect((await askAs(own, await sign(privateKey, alg))).status).toBe(200);

    // The oldest attack: the public key, which everybody has, used as a shared secret.
    const confused = await sign(Buffer.from(pem(publicKey)), "HS256");
    const others = [
      [otherRsa.privateKey, "RS256"],
      [generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, "ES256"],
      [generateKeyPairSync("ed25519").privateKey, "EdDSA"],
    ] as const;
    const forged = await Promise.all(others.map(([key, other]) => sign(key, other)));
    for (const token of [confused, ...forged])
      expect(await askAs(own, token)).toMatchObject({ status: 401, body: INVALID });
  });

  test("JWT_JWKS_URL verifies with the key that the token names", async () => {
    const keys = await startKeyServer([
      ["r", rsa.publicKey],
      ["e", ec.publicKey],
      ["d", ed.publicKey],
    ]);
    const own = await start({ JWT_SECRET: "", JWT_JWKS_URL: keys.url });
    const signers = [
      [rsa.privateKey, "RS256", "r"],
      [ec.privateKey, "ES256", "e"],
      [ed.privateKey, "EdDSA", "d"],
    ] as const;
    for (const [key, alg, kid] of signers)
      expect((await askAs(own, await sign(key, alg, {}, { kid }))).status).toBe(200);
    expect(keys.requests()).toBe(1);
  });

  test("a token with no key id or an unknown one is invalid, however many keys there are", async () => {
    const keys = await startKeyServer([
      ["old", rsa.publicKey],
      ["new", otherRsa.publicKey],
    ]);
    const own = await start({ JWT_SECRET: "", JWT_JWKS_URL: keys.url });
    for (const header of [{}, { kid: "unknown" }, { kid: "new" }]) {
      const token = await sign(rsa.privateKey, "RS256", {}, header);
      expect(await askAs(own, token)).toMatchObject({ status: 401, body: INVALID });
    }
  });
});

describe("while the keys cannot be fetched", () => {
  const FAULTS: [what: string, answer: (res: ServerResponse) => void][] = [
    ["answers 500", (res) => res.writeHead(500).end("{}")],
    ["answers with something else", (res) => res.end("<html>")],
    ["answers with JSON that is not a key set", (res) => res.end('{"keys": 1}')],
    ["redirects", (res) => res.writeHead(302, { location: "https://id.example/keys" }).end()],
    ["hangs up", (res) => res.destroy()],
  ];

  test.each(FAULTS)("with a key server that %s, a request gets 503, not 401", async (_, answer) => {
    const keys = await startKeyServer([["r", rsa.publicKey]]);
    keys.answer = answer;
    const own = await start({ JWT_SECRET: "", JWT_JWKS_URL: keys.url });
    await expectKeysUnavailable(own);
  });

  test("with a key server that is down, a request gets 503, not 401", async () => {
    const keys = await startKeyServer([["r", rsa.publicKey]]);
    await keys.close();
    const own = await start({ JWT_SECRET: "", JWT_JWKS_URL: keys.url });
    await expectKeysUnavailable(own);
  });

  test("the service recovers by itself when the keys can be fetched", async () => {
    const keys = await startKeyServer([["r", rsa.publicKey]]);
    const serve = keys.answer;
    keys.answer = (res) => res.writeHead(503).end();
    const own = await start({ JWT_SECRET: "", JWT_JWKS_URL: keys.url });
    const token = await sign(rsa.privateKey, "RS256", {}, { kid: "r" });
    expect((await askAs(own, token)).status).toBe(503);
    keys.answer = serve;
    await expect.poll(async () => (await askAs(own, token)).status, { timeout: 10_000 }).toBe(200);
  });

  async function expectKeysUnavailable(service: Service) {
    const token = await sign(rsa.privateKey, "RS256", {}, { kid: "r" });
    const { status, headers, body } = await askAs(service, token);
    expect(body).toMatchObject({ status: 503, code: "keys_unavailable" });
    expect(status).toBe(503);
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);

    // Any other status would end a browser's EventSource for good.
    const stream = await openStream(service, "42", { token });
    await stream.ended;
    expect(stream.status).toBe(200);
    expect(stream.text()).toMatch(REFUSAL);

    // A token that no key can make valid is still refused.
    expect((await askAs(service, "not.a.token", STREAM)).status).toBe(401);
  }
});

describe("where the token is", () => {
  test("without a token the response says where to put it", async () => {
    for (const headers of [{}, { authorization: "Basic dXNlcjpwYXNz" }, { cookie: "session=x" }]) {
      const { status, headers: answered, body } = await ask(service, headers);
      expect({ status, code: body.code }).toEqual({ status: 401, code: "token_missing" });
      expect(body.detail).toBe("Send an Authorization: Bearer header.");
      expect(answered.get("www-authenticate")).toBe("Bearer");
    }
  });

  test("the case of the Bearer scheme does not matter", async () => {
    const token = await sign(secret, "HS256");
    for (const scheme of ["bearer", "BEARER", "Bearer "])
      expect((await ask(service, { authorization: `${scheme} ${token}` })).status).toBe(200);
  });

  test("a cookie counts only where JWT_COOKIE names it, for the API and the stream", async () => {
    const token = await sign(secret, "HS256");
    const cookie = `theme=dark; session=${token}; other=1`;
    expect((await ask(service, { cookie })).body.code).toBe("token_missing");

    const own = await start({ JWT_COOKIE: "session" });
    expect((await ask(own, { cookie })).status).toBe(200);
    expect((await ask(own, { cookie: `sessions=${token}` })).body).toMatchObject({
      code: "token_missing",
      detail: "Send an Authorization: Bearer header, or the cookie session.",
    });
    expect((await ask(own, { cookie: "session=x" })).body).toEqual(INVALID);
    const abort = new AbortController();
    const { signal } = abort;
    const stream = await fetch(own.url + STREAM, { headers: { cookie }, signal });
    expect(stream.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    abort.abort();
  });

  test("the header comes before the cookie, even with a bad token", async () => {
    const own = await start({ JWT_COOKIE: "session" });
    const cookie = `session=${await sign(secret, "HS256")}`;
    expect((await ask(own, { cookie, authorization: "Bearer x" })).body).toEqual(INVALID);
  });

  test("an access token in the URL is ignored", async () => {
    const token = await sign(secret, "HS256");
    for (const name of ["token", "access_token", "ticket", "jwt"])
      expect((await ask(service, {}, `${STREAM}?${name}=${token}`)).status).toBe(401);
  });
});

describe("claims", () => {
  describe("JWT_USER_CLAIM names the claim that holds the recipient:", () => {
    let own: Service;
    beforeAll(async () => {
      own = await openService({ databaseUrl: database.url, env: { JWT_USER_CLAIM: "userId" } });
      return own.close;
    });

    test.each([
      ["a string", "43", "43"],
      ["an integer", 44, "44"],
      ["a uuid", "0b6f0a52-0e1c-4a6e-9a5c-1a3f0d6a3f11", "0b6f0a52-0e1c-4a6e-9a5c-1a3f0d6a3f11"],
      ["200 characters", "x".repeat(200), "x".repeat(200)],
    ])("%s", async (_, userId, recipient) => {
      await database.query("select bellwire.notify($1, 'greeting')", [recipient]);
      const token = await sign(secret, "HS256", { sub: "somebody else", userId });
      const { body } = await askAs(own, token);
      expect(body.count).toBeGreaterThan(0);
      expect((await askAs(own, await sign(secret, "HS256"))).body).toEqual(INVALID);
    });
  });

  test("issuer and audience are required if they are set", async () => {
    const own = await start({ JWT_ISSUER: "https://id.example", JWT_AUDIENCE: "bellwire" });
    const good = { iss: "https://id.example", aud: "bellwire" };
    const askWith = async (claims: JWTPayload) =>
      (await askAs(own, await sign(secret, "HS256", claims))).status;
    expect(await askWith(good)).toBe(200);
    expect(await askWith({ ...good, aud: ["other", "bellwire"] })).toBe(200);
    expect((await askAs(own, await own.token("42"))).status).toBe(200);
    for (const claims of [{}, { iss: good.iss }, { aud: good.aud }]) {
      expect(await askWith(claims)).toBe(401);
      expect(await askWith({ ...good, ...claims, aud: "bell" })).toBe(401);
      expect(await askWith({ ...good, ...claims, iss: "https://id.example/" })).toBe(401);
    }
  });
});

describe("a bad token is refused without a reason:", () => {
  const unsigned = (header: object, payload: object) =>
    [header, payload]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
  const good = () => ({ sub: "42", iat: seconds(), exp: seconds() + 3600 });
  const without = (claim: "sub" | "exp") => ({ [claim]: undefined }) as JWTPayload;
  const change = (token: string, part: number, make: (text: string) => string) =>
    token
      .split(".")
      .with(part, make(token.split(".")[part] ?? ""))
      .join(".");
  const hs = (claims: JWTPayload = {}) => sign(secret, "HS256", claims);

  const BAD: [what: string, make: () => string | Promise<string>][] = [
    ["not a JWT", () => "abc"],
    ["two parts", async () => (await hs()).split(".").slice(0, 2).join(".")],
    ["three empty parts", () => ".."],
    ["unreadable parts", () => "a.b.c"],
    ["a header that is not JSON", async () => change(await hs(), 0, () => "bm8")],
    ["no signature", () => `${unsigned({ alg: "HS256" }, good())}.`],
    ["alg none", () => `${unsigned({ alg: "none" }, good())}.`],
    ["alg None", () => `${unsigned({ alg: "None" }, good())}.x`],
    ["no alg", () => `${unsigned({ typ: "JWT" }, good())}.x`],
    ["another secret", () => sign(Buffer.from(SECRET.toUpperCase()), "HS256")],
    ["a secret of zeros", () => sign(Buffer.alloc(32), "HS256")],
    ["HS384 with our secret", () => sign(Buffer.from(SECRET.repeat(2)), "HS384")],
    ["HS512 with our secret", () => sign(Buffer.from(SECRET.repeat(2)), "HS512")],
    ["RS256, where HS256 is expected", () => sign(rsa.privateKey, "RS256")],
    [
      "claims changed after signing",
      async () =>
        change(await hs(), 1, () =>
          Buffer.from(JSON.stringify({ ...good(), sub: "1" })).toString("base64url"),
        ),
    ],
    [
      "a signature with a bit flipped",
      async () => change(await hs(), 2, (text) => (text[0] === "A" ? "B" : "A") + text.slice(1)),
    ],
    ["expired", () => hs({ exp: seconds() - 1 })],
    ["no expiry", () => hs(without("exp"))],
    ["an expiry that is a string", () => hs({ exp: String(seconds() + 60) as never })],
    ["not yet valid", () => hs({ nbf: seconds() + 60 })],
    ["an issue time that is a string", () => hs({ iat: "yesterday" as never })],
    ["no recipient", () => hs(without("sub"))],
    ["a recipient that is null", () => hs({ sub: null as never })],
    ["an empty recipient", () => hs({ sub: "" })],
    ["a recipient that is a fraction", () => hs({ sub: 4.2 as never })],
    ["a recipient too large for a double", () => hs({ sub: (2 ** 53) as never })],
    ["a recipient that is true", () => hs({ sub: true as never })],
    ["a recipient that is a list", () => hs({ sub: ["42"] as never })],
    ["a recipient that is an object", () => hs({ sub: { id: 42 } as never })],
    ["a recipient of 201 characters", () => hs({ sub: "x".repeat(201) })],
    ["a recipient with U+0000, which Postgres cannot store", () => hs({ sub: "4\u00002" })],
    ["more than 8 KB", () => hs({ filler: "x".repeat(8192) })],
    ["an unknown critical header", criticalToken],
    ["an unknown critical header, correctly signed", () => signed({ crit: ["x"], x: 1 })],
    ["an unencoded payload, correctly signed", () => signed({ crit: ["b64"], b64: false })],
    ["claims that are a list", () => signed({}, [good()])],
    ["a logout token, correctly signed", () => sign(secret, "HS256", {}, { typ: "logout+jwt" })],
    ["a proof of possession", () => sign(secret, "HS256", {}, { typ: "dpop+jwt" })],
    [
      "its own key in the header",
      async () => sign(rsa.privateKey, "RS256", {}, { jwk: await exportJWK(rsa.publicKey) }),
    ],
    [
      "the URL of its own key",
      () => sign(rsa.privateKey, "RS256", {}, { jku: "http://127.0.0.1:9/jwks.json" }),
    ],
    [
      "the URL of its own certificate",
      () => sign(rsa.privateKey, "RS256", {}, { x5u: "http://127.0.0.1:9/cert.pem" }),
    ],
    ["an encrypted token", encryptedToken],
    ["a second token after it", async () => `${await hs()} ${await hs()}`],
    ["quotes around it", async () => `"${await hs()}"`],
  ];

  async function criticalToken(): Promise<string> {
    const header = { alg: "RS256", crit: ["x"], x: 1 };
    const body = unsigned(header, good());
    return `${body}.${createSign("sha256").update(body).sign(rsa.privateKey, "base64url")}`;
  }

  function signed(header: object, payload: object = good()): string {
    const body = unsigned({ alg: "HS256", ...header }, payload);
    return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
  }

  function encryptedToken(): Promise<string> {
    return new CompactEncrypt(Buffer.from(JSON.stringify(good())))
      .setProtectedHeader({ alg: "dir", enc: "A128CBC-HS256" })
      .encrypt(Buffer.alloc(32, 1));
  }

  test.each(BAD)("%s", async (_, make) => {
    const token = await make();
    for (const path of [COUNT, STREAM, "/api/notifications"]) {
      const { status, headers, body } = await askAs(service, token, path);
      expect(body).toEqual(INVALID);
      expect(status).toBe(401);
      expect(headers.get("content-type")).toMatch(/^application\/problem\+json/);
      expect(headers.get("www-authenticate")).toBe('Bearer error="invalid_token"');
    }
  });
});

test("a token may have the type of an access token, or no type", async () => {
  for (const typ of ["JWT", "jwt", "at+jwt", "application/at+jwt"])
    expect((await askAs(service, await sign(secret, "HS256", {}, { typ }))).status).toBe(200);
});

test("a token with an extreme `exp` and `iat` opens a stream", async () => {
  const token = await sign(secret, "HS256", { exp: 1e15, iat: -1e15 });
  const stream = await openStream(service, "42", { token });
  await stream.waitFor(({ event }) => event === "ready");
  const response = await fetch(`${service.url}/api/notifications/tickets`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
  });
  expect(response.status).toBe(200);
});

test("after a revocation the recipient's older tokens are refused, newer ones and other recipients' are accepted", async () => {
  const own = await start({ JWT_LEEWAY_SECONDS: "1" });
  const [older, other] = [
    await sign(secret, "HS256", { sub: "7" }),
    await sign(secret, "HS256", { sub: "8" }),
  ];
  const undated = await sign(secret, "HS256", { sub: "7", iat: undefined as never });
  const stream = await openStream(own, "7", { token: older });
  await stream.waitFor(({ event }) => event === "ready");

  await database.query("select bellwire.revoke('7')");
  await stream.ended;
  expect(stream.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });

  const revokedAt = seconds();
  for (const path of [COUNT, STREAM]) {
    expect((await askAs(own, older, path)).body).toEqual(INVALID);
    expect((await askAs(own, undated, path)).body).toEqual(INVALID);
  }
  await expect.poll(seconds, { timeout: 5000 }).toBeGreaterThan(revokedAt + 1);
  const newer = await sign(secret, "HS256", { sub: "7", iat: seconds() });
  expect((await askAs(own, newer)).status).toBe(200);
  expect((await askAs(own, other)).status).toBe(200);
  const again = await openStream(own, "7", { token: newer });
  await again.waitFor(({ event }) => event === "ready");

  // The revocation is a row, so another instance knows it, and this one after a restart.
  expect((await askAs(await start(), older)).body).toEqual(INVALID);
});

/** A key server on this machine. It answers with the key set, unless `answer` is replaced. */
async function startKeyServer(keys: [kid: string, key: KeyObject][]) {
  const set = {
    keys: await Promise.all(keys.map(async ([kid, key]) => ({ ...(await exportJWK(key)), kid }))),
  };
  let requests = 0;
  const server = createServer((_req: IncomingMessage, res) => {
    requests++;
    state.answer(res);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => new Promise((resolve) => server.close(resolve).closeAllConnections());
  const state = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    answer(res: ServerResponse) {
      res.end(JSON.stringify(set));
    },
    requests: () => requests,
    close,
  };
  onTestFinished(async () => void (await close()));
  return state;
}
