import { once } from "node:events";
import { type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, test } from "vitest";
import { OPERATIONS } from "../../src/api/operations.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { call, openService, type Service, startService } from "../support/service.ts";

const API = "/api/notifications";
const SHOP = "https://shop.example";
const LOCAL = "http://localhost:5173";
const ENV = { JWT_COOKIE: "session", ALLOWED_ORIGINS: `${SHOP},${LOCAL}` };

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  return database.close;
});

let service: Service;
beforeAll(async () => {
  service = await openService({ databaseUrl: database.url, env: ENV });
  return service.close;
});

/** `notify` returns the new notification's id. */
async function notify(recipientId: string): Promise<string> {
  const [row] = await database.query<{ id: string }>(
    "select bellwire.notify($1, 'test')::text as id",
    [recipientId],
  );
  return row?.id ?? "";
}

interface Question {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | undefined;
}

/** Sends exactly these headers, which `fetch` cannot. For a stream it returns only the head. */
async function send(service: Service, path: string, { method = "GET", headers, body }: Question) {
  const length = body === undefined ? {} : { "content-length": body.length };
  const asked = request(service.url + path, { method, headers: { ...headers, ...length } });
  asked.end(body);
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  const isStream = answer.headers["content-type"]?.startsWith("text/event-stream");
  if (isStream) answer.destroy();
  const said = isStream ? "" : await text(answer);
  const code = /"code":"(\w+)"/.exec(said)?.[1];
  return { status: answer.statusCode, code, headers: answer.headers, body: said };
}

const bearer = async (service: Service, recipientId: string) => ({
  authorization: `Bearer ${await service.token(recipientId)}`,
});
const JSON_TYPE = { "content-type": "application/json" };

/** Every route of the API in `/openapi.json`, with a request that it accepts. */
const ROUTES = OPERATIONS.filter(({ path }) => path.startsWith(API)).map(({ method, path }) => ({
  method: method.toUpperCase(),
  path: path.replace("{id}", "1"),
  body: { patch: '{"read":true}', put: '{"mutedTypes":[]}', post: "{}", get: undefined }[method],
}));

/** The response headers about origins. */
function crossOriginHeaders(headers: IncomingMessage["headers"]) {
  const { vary, "access-control-allow-origin": allowed } = headers;
  const names = Object.keys(headers).filter((name) => name.startsWith("access-control-"));
  return { vary, allowed, names };
}

describe("only pages of an allowed origin may read a response", () => {
  const ORIGINS: [what: string, origin: string | undefined, isAllowed: boolean][] = [
    ["an allowed one", SHOP, true],
    ["another allowed origin", LOCAL, true],
    ["none", undefined, false],
    ["an unknown one", "https://unknown.example", false],
    ["null", "null", false],
    ["an origin that ends with an allowed one", "https://evil-shop.example", false],
    ["an origin that begins with an allowed one", "https://shop.example.evil.example", false],
    ["a subdomain of an allowed host", "https://evil.shop.example", false],
    ["the parent domain of an allowed host", "https://example", false],
    ["an allowed host over http", "http://shop.example", false],
    ["an allowed host over https", "https://localhost:5173", false],
    ["another port of an allowed host", "https://shop.example:8443", false],
    ["an allowed host with its default port written out", "https://shop.example:443", false],
    ["an allowed host without its port", "http://localhost", false],
    ["an allowed host by its IP address", "http://127.0.0.1:5173", false],
    ["an allowed origin with its host in capitals", "https://SHOP.example", false],
    ["an allowed origin in capitals", "HTTPS://SHOP.EXAMPLE", false],
    ["an allowed origin with a slash", "https://shop.example/", false],
    ["an allowed origin with a path", "https://shop.example/page", false],
    ["an allowed host with a trailing dot", "https://shop.example.", false],
    ["an allowed host as a user name", "https://shop.example@evil.example", false],
    ["an allowed origin and another one", "https://shop.example https://evil.example", false],
    ["both allowed origins, as Node joins two headers", `${SHOP}, ${LOCAL}`, false],
    ["the list of allowed origins", `${SHOP},${LOCAL}`, false],
    ["an asterisk", "*", false],
    ["an empty one", "", false],
  ];

  test.each(ORIGINS)("%s", async (_, origin, isAllowed) => {
    const given = origin === undefined ? {} : { origin };
    const expected = {
      vary: "Origin",
      allowed: isAllowed ? origin : undefined,
      names: [
        ...(isAllowed ? ["access-control-allow-origin"] : []),
        "access-control-allow-credentials",
        "access-control-expose-headers",
      ],
    };
    const token = await bearer(service, "1");
    for (const { method, path, body } of ROUTES) {
      const of = `${method} ${path}`;
      const headers = { ...given, ...token, ...(body ? JSON_TYPE : {}) };
      const { status, headers: answered } = await send(service, path, { method, headers, body });
      expect(status, of).toBe(path.endsWith("/1") ? 404 : 200);
      expect(crossOriginHeaders(answered), of).toEqual(expected);
      expect(answered["access-control-allow-credentials"]).toBe("true");
      expect(answered["access-control-expose-headers"]).toBe(
        "Retry-After,Bellwire-Recipient,X-Request-Id,X-Service-Version",
      );
    }
    // Problems have the headers too, because the page must learn the reason.
    for (const [path, question] of [
      [`${API}/stream`, {}],
      [API, {}],
      [`${API}/nowhere`, { headers: token }],
      [`${API}/%zz`, { method: "PATCH", headers: { ...token, ...JSON_TYPE } }],
      [`${API}/mark-all-read`, { method: "POST", headers: { ...token, ...JSON_TYPE }, body: "{" }],
      [`${API}/stream`, { method: "HEAD", headers: token }],
    ] as [path: string, Question][]) {
      const headers = { ...given, ...question.headers };
      const answer = await send(service, path, { ...question, headers });
      if (question.method !== "HEAD") expect(answer.status, path).toBeGreaterThanOrEqual(400);
      expect(crossOriginHeaders(answer.headers), path).toEqual(expected);
    }
  });

  test("a page of another origin may not read health or the OpenAPI document", async () => {
    for (const path of ["/livez", "/readyz", "/openapi.json", "/nowhere"])
      for (const method of ["GET", "OPTIONS"]) {
        const { headers } = await send(service, path, { method, headers: { origin: SHOP } });
        expect(crossOriginHeaders(headers).names, path).toEqual([]);
      }
    const metrics = await fetch(service.metricsUrl, { headers: { origin: SHOP } });
    expect(metrics.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("without ALLOWED_ORIGINS no origin is allowed", async () => {
    const env = { ...ENV, ALLOWED_ORIGINS: "" };
    const own = await startService({ databaseUrl: database.url, env });
    const token = await bearer(own, "1");
    for (const origin of [SHOP, own.url, "null", "*"])
      for (const method of ["GET", "OPTIONS"]) {
        const { headers } = await send(own, API, { method, headers: { ...token, origin } });
        expect(crossOriginHeaders(headers), origin).toMatchObject({
          vary: "Origin",
          allowed: undefined,
        });
      }
  });
});

describe("a preflight", () => {
  const ask = (origin: string, method: string, names: string) => ({
    origin,
    "access-control-request-method": method,
    "access-control-request-headers": names,
  });
  const list = (value: string | string[] | undefined) => `${value}`.toLowerCase().split(/\s*,\s*/);

  test("is answered for every route, also the stream, and allows what a page needs", async () => {
    for (const { method, path } of ROUTES) {
      const of = `${method} ${path}`;
      // eventsource-polyfill sends Cache-Control, react-native-sse X-Requested-With.
      const names =
        "authorization,bellwire-recipient,cache-control,content-type,last-event-id,x-requested-with";
      const headers = ask(SHOP, method, names);
      const {
        status,
        body,
        headers: answered,
      } = await send(service, path, {
        method: "OPTIONS",
        headers,
      });
      expect({ status, body }, of).toEqual({ status: 204, body: "" });
      expect(answered, of).toMatchObject({
        "access-control-allow-origin": SHOP,
        "access-control-allow-credentials": "true",
        "access-control-max-age": "7200",
        "content-length": "0",
        vary: "Origin",
      });
      // An asterisk does not include Authorization, and with credentials it means nothing.
      expect(list(answered["access-control-allow-headers"]).sort(), of).toEqual(list(names));
      expect(list(answered["access-control-allow-methods"]), of).toContain(method.toLowerCase());
      expect(list(answered["access-control-allow-methods"]), of).not.toContain("delete");
    }
  });

  test("from any other origin allows nothing", async () => {
    for (const origin of ["https://evil.example", "null", "https://shop.example.evil.example"])
      for (const { method, path } of ROUTES) {
        const headers = ask(origin, method, "authorization");
        const answer = await send(service, path, { method: "OPTIONS", headers });
        expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
        expect(answer.headers.vary).toBe("Origin");
      }
  });

  test("needs no token, and changes nothing, whatever it contains", async () => {
    // Of its own, whose log shows that no stream was opened.
    const own = await startService({ databaseUrl: database.url, env: ENV });
    const recipientId = "preflight";
    const id = await notify(recipientId);
    const { body } = await call(own, recipientId, "/tickets", { method: "POST" });
    const before = await stateOf();
    const token = await own.token(recipientId);
    const credentials = [
      {},
      { authorization: "Bearer bad" },
      { authorization: `Bearer ${token}` },
      { cookie: `session=${token}` },
    ];
    for (const { method, path, body: sent } of ROUTES)
      for (const credential of credentials) {
        const headers = { ...ask(SHOP, method, "content-type"), ...credential, ...JSON_TYPE };
        const question = { method: "OPTIONS", headers, body: sent };
        const { status } = await send(
          own,
          `${path.replace(/1$/, id)}?ticket=${body.ticket}`,
          question,
        );
        expect(status).toBe(204);
      }
    expect(await stateOf()).toEqual(before);
    expect(own.logged()).not.toContain("stream opened");
    // The ticket is still unused.
    const path = `${API}/stream?ticket=${body.ticket}`;
    expect((await send(own, path, { headers: { origin: SHOP } })).status).toBe(200);
  });
});

describe("a cookie counts only if the page's origin is allowed", () => {
  const OWN = "own"; // the service's own origin, known when it has started
  type From = { origin?: string; "sec-fetch-site"?: string };

  const PAGES: [what: string, from: From, may: "read and write" | "read" | "do nothing"][] = [
    ["nothing says", {}, "read"],
    ["the own origin, by Sec-Fetch-Site", { "sec-fetch-site": "same-origin" }, "read and write"],
    ["the address bar", { "sec-fetch-site": "none" }, "read and write"],
    ["another host of the site", { "sec-fetch-site": "same-site" }, "do nothing"],
    ["another site", { "sec-fetch-site": "cross-site" }, "do nothing"],
    ["an unknown Sec-Fetch-Site", { "sec-fetch-site": "x" }, "do nothing"],
    ["an empty site", { "sec-fetch-site": "" }, "do nothing"],
    ["the own origin", { origin: OWN }, "read and write"],
    [
      "the own origin, in both headers",
      { origin: OWN, "sec-fetch-site": "same-origin" },
      "read and write",
    ],
    ["an allowed origin", { origin: SHOP }, "read and write"],
    [
      "an allowed origin of the same site",
      { origin: SHOP, "sec-fetch-site": "same-site" },
      "read and write",
    ],
    [
      "an allowed origin of another site",
      { origin: SHOP, "sec-fetch-site": "cross-site" },
      "read and write",
    ],
    ["a foreign origin", { origin: "https://evil.example" }, "do nothing"],
    [
      "a foreign origin of the same site",
      { origin: "https://evil.example", "sec-fetch-site": "same-site" },
      "do nothing",
    ],
    [
      "a foreign origin that claims to be same-origin",
      { origin: "https://evil.example", "sec-fetch-site": "same-origin" },
      "do nothing",
    ],
    [
      "a foreign origin from the address bar",
      { origin: "https://evil.example", "sec-fetch-site": "none" },
      "do nothing",
    ],
    ["the allowed host over http", { origin: "http://shop.example" }, "do nothing"],
    [
      "an origin that ends with an allowed one",
      { origin: "https://evil-shop.example" },
      "do nothing",
    ],
    ["another port of the own host", { origin: "http://127.0.0.1:1" }, "do nothing"],
    ["another name of the own host", { origin: "http://localhost" }, "do nothing"],
    ["the origin null", { origin: "null" }, "do nothing"],
    [
      "the origin null that claims to be same-origin",
      { origin: "null", "sec-fetch-site": "same-origin" },
      "do nothing",
    ],
    ["an empty origin", { origin: "" }, "do nothing"],
  ];

  const JSONS = [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON ;charset=utf-8",
  ];
  const OTHER = [
    undefined,
    "",
    "text/plain",
    "text/plain; application/json",
    "text/plain, application/json",
    "application/json, text/plain",
    "application/json-patch+json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=application/json",
  ];

  const REFUSED = { status: 403, code: "origin_refused" };
  const NOT_JSON = { status: 415, code: "body_not_json" };
  const DONE = { status: 200, code: undefined };

  const reads = ROUTES.filter(({ method }) => method === "GET");
  const writes = ROUTES.filter(({ method }) => method !== "GET");

  test("there are both", () => {
    expect(reads.map(({ path }) => path)).toContain(`${API}/stream`);
    expect(new Set(writes.map(({ method }) => method))).toEqual(new Set(["PATCH", "POST", "PUT"]));
  });

  test.each(PAGES)("%s: %j may %s", async (what, from, may) => {
    const recipientId = `page of ${what}`;
    const id = await notify(recipientId);
    const before = await stateOf(recipientId);
    const cookie = `session=${await service.token(recipientId)}`;
    const headers = { cookie, ...from, ...(from.origin === OWN ? { origin: service.url } : {}) };

    for (const { path } of reads)
      for (const method of ["GET", "HEAD"]) {
        const target = path.replace(/1$/, id);
        const { status, code } = await send(service, target, { method, headers });
        const expected = may === "do nothing" ? REFUSED : DONE;
        expect(status, `${method} ${path}`).toBe(expected.status);
        if (method === "GET") expect(code, path).toBe(expected.code);
      }

    const write = async (type: string | undefined, expected: object) => {
      const typed = type === undefined ? headers : { ...headers, "content-type": type };
      // Without a body there is no content type to check.
      for (const { method, path, body } of writes)
        for (const sent of method === "POST" ? [body, undefined] : [body]) {
          const target = path.replace(/1$/, id);
          const { status, code } = await send(service, target, {
            method,
            headers: typed,
            body: sent,
          });
          expect({ status, code }, `${method} ${target} ${type}`).toEqual(expected);
        }
    };
    for (const type of OTHER) await write(type, may === "read and write" ? NOT_JSON : REFUSED);
    expect(await stateOf(recipientId)).toEqual(before);
    for (const type of JSONS) await write(type, may === "read and write" ? DONE : REFUSED);
    const after = await stateOf(recipientId);
    if (may === "read and write") expect(after.notifications[0]?.read_at).not.toBeNull();
    else expect(after).toEqual(before);
  });

  test("a bearer token or a ticket needs no allowed origin, even beside another recipient's cookie", async () => {
    const recipientId = "bearer";
    const token = await bearer(service, recipientId);
    const cookie = `session=${await service.token("somebody else")}`;
    for (const [what, from] of PAGES) {
      const page = { ...from, ...(from.origin === OWN ? { origin: service.url } : {}), cookie };
      const headers = { ...token, ...page };
      const id = await notify(recipientId);
      for (const { path } of reads) {
        const target = path.replace(/1$/, id);
        expect(await send(service, target, { headers }), `${what}: ${path}`).toMatchObject(DONE);
      }
      for (const { method, path, body } of writes) {
        const target = path.replace(/1$/, id);
        const typed = { method, headers: { ...headers, ...JSON_TYPE }, body };
        const bare = { method, headers };
        for (const question of method === "POST" ? [typed, bare] : [typed])
          expect(await send(service, target, question), `${what}: ${target}`).toMatchObject(DONE);
      }
      const [{ read_at } = {}] = await database.query(
        "select read_at from bellwire.notifications where id = $1",
        [id],
      );
      expect(read_at, what).not.toBeNull();

      const { body } = await call(service, recipientId, "/tickets", { method: "POST" });
      const path = `${API}/stream?ticket=${body.ticket}`;
      expect(await send(service, path, { headers: page }), what).toMatchObject(DONE);
    }
  });

  test("a page of the request's own host is allowed, whatever its scheme", async () => {
    const token = await service.token("1");
    const ask = async (host: string, origin: string) => {
      const headers = { ...JSON_TYPE, host, origin, cookie: `session=${token}` };
      const { status } = await send(service, `${API}/mark-all-read`, { method: "POST", headers });
      return status;
    };
    for (const scheme of ["http", "https"]) {
      expect(await ask("bell.example", `${scheme}://bell.example`)).toBe(200);
      expect(await ask("BELL.example:8443", `${scheme}://bell.example:8443`)).toBe(200);
      for (const host of [
        "evil.example",
        "bell.example.evil.example",
        "bell.example:8443",
        "example",
      ])
        expect(await ask("bell.example", `${scheme}://${host}`), host).toBe(403);
      expect(await ask("bell.example:8443", `${scheme}://bell.example`)).toBe(403);
    }
    // A proxy may add the port that a browser leaves out.
    expect(await ask("bell.example:443", "https://bell.example")).toBe(200);
    expect(await ask("bell.example:80", "http://bell.example")).toBe(200);
    expect(await ask("bell.example:80", "https://bell.example")).toBe(403);
    expect(await ask("null", "null")).toBe(403);
    expect(await ask("", "https://")).toBe(403);
  });
});

/** Every row that a request can change, of one recipient or of all. */
async function stateOf(recipientId?: string) {
  const where = recipientId === undefined ? "" : "where recipient_id = $1";
  const read = (table: string) =>
    database.query(
      `select * from bellwire.${table} t ${where} order by t::text`,
      recipientId === undefined ? [] : [recipientId],
    );
  return {
    notifications: await read("notifications"),
    preferences: await read("preferences"),
    tickets: await read("tickets"),
  };
}
