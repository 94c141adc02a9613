import { generateKeyPairSync } from "node:crypto";
import { type JWTPayload, SignJWT } from "jose";
import { beforeAll, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openService, type Service } from "../support/service.ts";

const SHOP = "https://shop.example";
const KEY = Buffer.from("a secret that is long enough for HS256");

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  const env = {
    JWT_COOKIE: "session",
    JWT_ISSUER: "https://id.example",
    JWT_AUDIENCE: "bell",
    ALLOWED_ORIGINS: SHOP,
  };
  service = await openService({ databaseUrl: database.url, env });
  return async () => {
    await service.close();
    await database.close();
  };
});

const linesWith = (text: string) =>
  service
    .logged()
    .split("\n")
    .filter((line) => line.includes(text));

async function ask(headers: Record<string, string>, path = "/unread-count") {
  const response = await fetch(`${service.url}/api/notifications${path}`, { headers });
  return { status: response.status, text: await response.text() };
}

function sign(claims: JWTPayload, key = KEY, alg = "HS256") {
  const all = { sub: "canary", iss: "https://id.example", aud: "bell", ...claims };
  const exp = Math.floor(Date.now() / 1000) + 3600;
  return new SignJWT({ exp, ...all }).setProtectedHeader({ alg }).sign(key);
}

test("an origin that may not use the cookie is named once, with the setting that allows it; the problem says where", async () => {
  const origin = "https://www.shop.example";
  for (const path of ["/unread-count", "/stream", "/unread-count"]) {
    const { status, text } = await ask({ origin, cookie: "session=canary-cookie" }, path);
    expect(status).toBe(403);
    expect(JSON.parse(text).detail).toContain("ALLOWED_ORIGINS");
    expect(JSON.parse(text).detail).toContain("let the proxy pass Host on");
  }
  const lines = linesWith(origin);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`set ALLOWED_ORIGINS=${SHOP},${origin} or`);
  expect(lines[0]).toContain(`Host is ${new URL(service.url).host}`);
  expect(lines[0]).not.toContain("canary");
});

test("an origin whose page cannot read the answer is named too, also with a bearer token; others are not", async () => {
  const authorization = `Bearer ${await sign({})}`;
  const foreign = "https://cors.example";
  await ask({ origin: foreign, authorization });
  await ask({ origin: SHOP, authorization });
  await ask({ origin: new URL(service.url).origin, authorization });
  // Behind a proxy that changes Host.
  const own = { origin: "https://own.example", "sec-fetch-site": "same-origin" };
  await ask({ ...own, authorization });
  await ask({ origin: "https://x.example/canary", authorization });
  expect(linesWith(foreign)).toHaveLength(1);
  for (const text of [own.origin, `page of ${SHOP},`, "canary"])
    expect(linesWith(text)).toEqual([]);
});

test.each([
  ["another issuer", () => sign({ iss: "https://canary.example" }), "iss is not JWT_ISSUER"],
  ["another audience", () => sign({ aud: "canary" }), "aud is not JWT_AUDIENCE"],
  ["another secret", () => sign({}, Buffer.from("canary".repeat(8))), "the key of JWT_SECRET"],
  [
    "another algorithm",
    () => sign({}, generateKeyPairSync("ed25519").privateKey as never, "EdDSA"),
    "alg is not one for the key of JWT_SECRET",
  ],
  ["no recipient", () => sign({ sub: undefined as never }), "lacks the claim of JWT_USER_CLAIM"],
  ["a recipient that is a list", () => sign({ sub: ["canary"] as never }), "is not a text of 1"],
  ["no expiry", () => sign({ exp: undefined as never }), "lacks exp"],
  ["no form of a token", async () => "canary", "is not a JWT"],
])("a token with %s: one line says why, and quotes nothing of it", async (_, make, reason) => {
  const token = await make();
  for (let i = 0; i < 3; i++)
    expect(await ask({ authorization: `Bearer ${token}` })).toMatchObject({ status: 401 });
  expect(linesWith(reason)).toHaveLength(1);
  expect(service.logged()).not.toContain("canary");
});

test("a token that has expired is not worth a line", async () => {
  const before = linesWith('"refused; ').length;
  const token = await sign({ exp: Math.floor(Date.now() / 1000) - 3600 });
  expect((await ask({ authorization: `Bearer ${token}` })).status).toBe(401);
  expect(linesWith('"refused; ')).toHaveLength(before);
});

test("many origins cost a bounded number of lines", async () => {
  for (let i = 0; i < 50; i++) await ask({ origin: `https://${i}.flood.example` });
  expect(linesWith(".flood.example").length).toBeLessThanOrEqual(20);
});
