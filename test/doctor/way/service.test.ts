import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { passOn, startServer } from "../../browser/support/reverse-proxy.ts";
import { findPort } from "../../faults/support/ports.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { hasNginx, startNginx } from "../../support/nginx.ts";
import { openService, type Service, startService } from "../../support/service.ts";
import { examine, expectTrouble, QUICK, SECRET, troublesIn } from "./support/examine.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({
    databaseUrl: database.url,
    env: { ...QUICK, JWT_ISSUER: "https://id.example", JWT_AUDIENCE: "bell" },
  });
});
afterAll(async () => {
  await service.close();
  await database.close();
});

describe("a token that the service refuses:", () => {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: "1", iss: "https://id.example", aud: "bell", iat: now, exp: now + 60 };
  const sign = (payload: object, secret = SECRET) =>
    new SignJWT({ ...payload }).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(secret));
  const settings = { issuer: "https://id.example", audience: "bell" };

  test.each([
    {
      fault: "an expired token",
      payload: { ...claims, exp: now - 60 },
      fix: /^The token expired at 20/,
    },
    {
      fault: "a token without an end",
      payload: { ...claims, exp: undefined },
      fix: /has no exp, which is required/,
    },
    {
      fault: "a token of another issuer",
      payload: { ...claims, iss: "https://other.example" },
      fix: /iss is "https:\/\/other\.example", and JWT_ISSUER here is "https:\/\/id\.example"/,
    },
    {
      fault: "a token for another audience",
      payload: { ...claims, aud: ["shop"] },
      fix: /aud is \["shop"\], and JWT_AUDIENCE here is "bell"/,
    },
    {
      fault: "a token that is signed with another secret",
      payload: claims,
      secret: "quite another secret of thirty-two letters",
      fix: /not signed with the JWT_SECRET of this environment/,
    },
    {
      fault: "a token from a clock that is ahead",
      payload: { ...claims, iat: now + 900, exp: now + 1800 },
      fix: /issued in the future/,
    },
    {
      fault: "a token without a recipient",
      payload: { ...claims, sub: undefined },
      fix: /no claim sub, which names the recipient/,
    },
  ])("$fault", async ({ payload, secret, fix }) => {
    const token = await sign(payload, secret);
    const findings = await examine(service, service.url, { token, settings });
    const found = expectTrouble(findings, "broken", "token");
    expect(found.fix).toMatch(fix);
    expect(JSON.stringify(findings)).not.toContain(token.slice(-20));
  });

  test("the service has another secret than this environment", async () => {
    const secret = "the secret of this machine, and no other";
    const token = await sign(claims, secret);
    const key = { kind: "secret", secret } as const;
    const findings = await examine(service, service.url, { token, settings: { ...settings, key } });
    expect(expectTrouble(findings, "broken", "token").fix).toMatch(
      /^The token fits the JWT_SECRET.* of this environment, so the running service has others/,
    );
  });

  test("a text that is no token", async () => {
    const findings = await examine(service, service.url, { token: "letmein", settings });
    expect(expectTrouble(findings, "broken", "token").fix).toMatch(/is no JWT/);
  });

  test("with the right one, all is well", async () => {
    const token = await sign(claims);
    expect(troublesIn(await examine(service, service.url, { token, settings }))).toEqual([]);
  });
});

test("the page's origin is not allowed", async () => {
  const findings = await examine(service, service.url, {
    token: await service.token("origin"),
    origin: "https://shop.example",
  });
  const { seen, fix } = expectTrouble(findings, "broken", "cors");
  expect(seen).toMatch(/^the service does not allow https:\/\/shop\.example/);
  expect(fix).toMatch(/^ALLOWED_ORIGINS=https:\/\/shop\.example for the service/);
});

test("a recipient has too many streams", async () => {
  const few = await startService({
    databaseUrl: database.url,
    env: { ...QUICK, MAX_STREAMS_PER_RECIPIENT: "1" },
  });
  const { openStream } = await import("../../support/event-source.ts");
  const stream = await openStream(few, "busy");
  await stream.waitFor(({ event }) => event === "ready");
  const findings = await examine(few, few.url, { token: await few.token("busy") });
  expectTrouble(findings, "broken", "too_many_streams");
});

test("two versions answer in turn", async () => {
  let requests = 0;
  const { port } = await startServer((req, res) =>
    passOn(req, res, service.url, (answer) => {
      requests++;
      const version = requests % 2 ? "0.0.9" : answer.headers["x-service-version"];
      res.writeHead(answer.statusCode ?? 502, { ...answer.headers, "x-service-version": version });
      answer.pipe(res);
    }),
  );
  const findings = await examine(service, `http://127.0.0.1:${port}`);
  expect(expectTrouble(findings, "look", "version").seen).toMatch(/0\.0\.9 and 0\.1\.0/);
});

describe("TRUST_PROXY", () => {
  test.skipIf(!hasNginx).each([
    {
      fault: "TRUST_PROXY is too low",
      trusted: "0",
      seen: /^TRUST_PROXY is 0, and 1 proxy adds its/,
    },
    {
      fault: "TRUST_PROXY is too high",
      trusted: "2",
      seen: /^TRUST_PROXY is 2, and 1 proxy adds .* is believed$/,
    },
  ])("$fault", async ({ trusted, seen }) => {
    const own = await startService({
      databaseUrl: database.url,
      port: await findPort(),
      env: { ...QUICK, TRUST_PROXY: trusted },
    });
    const locations = `location / { proxy_pass ${own.url}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }`;
    const { url } = await startNginx({ locations });
    const findings = await examine(own, url);
    const found = expectTrouble(findings, "look", "trust_proxy");
    expect(found.seen).toMatch(seen);
    expect(found.fix).toMatch(/^TRUST_PROXY=1 for the service/);
  });

  test("without the service's status it is not examined, and says how to", async () => {
    const findings = await examine(service, service.url, {
      token: await service.token("remote"),
      settings: { metricsPort: await findPort() },
    });
    expect(findings).toContainEqual(
      expect.objectContaining({
        check: "trust_proxy",
        level: "well",
        seen: expect.stringMatching(/^not examined: .*Run doctor on the service's machine/),
      }),
    );
  });
});

const [outside] = Object.values(networkInterfaces())
  .flat()
  .filter((address) => address?.family === "IPv4" && !address.internal);

describe.skipIf(!outside)("from another address of this machine", () => {
  const open = () =>
    startService({ databaseUrl: database.url, env: { ...QUICK, HOST: "0.0.0.0" } });
  const urlOf = ({ url }: Service) => url.replace(/\/\/[^:]+/, `//${outside?.address}`);

  test("the metrics port is reachable from outside", async () => {
    const exposed = await open();
    const findings = await examine(exposed, urlOf(exposed));
    expect(expectTrouble(findings, "look", "metrics").seen).toMatch(/:\d+\/metrics is reachable/);
  });

  test("the site has no TLS", async () => {
    const exposed = await open();
    const findings = await examine(exposed, urlOf(exposed));
    const { seen, why } = expectTrouble(findings, "look", "http_version");
    expect(seen).toMatch(/is plain HTTP$/);
    expect(why).toMatch(/can read the tokens/);
  });
});

describe("where the token must not go:", () => {
  test("a redirect to another host gets no request", async () => {
    const seen: string[] = [];
    const other = await startServer((req, res) => {
      seen.push(String(req.headers.authorization));
      res.end();
    });
    const { port } = await startServer((_, res) =>
      res.writeHead(302, { location: `http://127.0.0.1:${other.port}/elsewhere` }).end(),
    );
    const findings = await examine(service, `http://127.0.0.1:${port}`);
    expectTrouble(findings, "broken", "redirect");
    expect(seen).toEqual([]);
  });
});

test.each([
  { fault: "the name is unknown", url: "http://no-such-host.invalid", seen: /cannot be resolved/ },
  {
    fault: "nothing listens",
    url: "http://127.0.0.1:1",
    seen: /nothing listens at 127\.0\.0\.1:1/,
  },
])("$fault", async ({ url, seen }) => {
  expect(expectTrouble(await examine(service, url), "broken", "reach").seen).toMatch(seen);
});

test("the port speaks another protocol", async () => {
  const { createServer } = await import("node:net");
  const server = createServer((socket) => socket.end("220 mail.example ESMTP\r\n"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const findings = await examine(service, url);
  expect(expectTrouble(findings, "broken", "reach").seen).toMatch(/before it answered/);
});
