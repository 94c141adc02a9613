import { Validator } from "@seriousme/openapi-schema-validator";
import { Router } from "express";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inboxRoutes } from "../../src/api/inbox.ts";
import { openApi } from "../../src/api/openapi.ts";
import { createHttpApp, type HttpOptions } from "../../src/api/router.ts";
import type { Inbox } from "../../src/db/inbox.ts";
import type { AnswerLimits } from "../../src/http/answer.ts";
import type { NotificationEncoder } from "../../src/http/notification-json.ts";
import { PROBLEM_CODES, type PublicCode, statusOf } from "../../src/http/problem-codes.ts";
import { createLogger } from "../../src/logger.ts";
import { readVersion } from "../../src/version.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { startService } from "../support/service.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

const version = readVersion();
/** The document as a client reads it, without undefined fields. */
const document = JSON.parse(JSON.stringify(openApi(version)));

test("docs/openapi.json is the document of this version; `npx vitest run test/api/openapi.test.ts -u` writes it", async () => {
  const text = `${JSON.stringify(openApi(version), null, 2)}\n`;
  await expect(text).toMatchFileSnapshot("../../docs/openapi.json");
});

test("the service serves the document without a token", async () => {
  const service = await startService({ databaseUrl: database.url });
  const response = await fetch(`${service.url}/openapi.json`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
  expect(await response.json()).toEqual(document);
});

/** It compiles the schema of OpenAPI once. */
const validator = new Validator();

test("the document is valid OpenAPI 3.1", async () => {
  expect(await validator.validate(document)).toEqual({ valid: true });
  expect(validator.version).toBe("3.1");
});

test("the validator refuses a document that is not OpenAPI", async () => {
  const { paths: _, ...rest } = structuredClone(document);
  rest.info = { title: 5 };
  expect(await validator.validate(rest)).toMatchObject({ valid: false });
});

test("the document has every route, and nothing else", () => {
  expect(documented()).toEqual(routesOf(createHttpApp(WITHOUT_PARTS).router.stack).sort());
});

describe("references", () => {
  test("every $ref has a target in the document", () => {
    const targets = [...new Set(findRefs(document))];
    expect(targets).not.toEqual([]);
    for (const target of targets) expect(resolve(target), target).toBeDefined();
  });

  test("every schema is referenced or belongs to an event", () => {
    const targets = new Set(findRefs(document));
    const unused = Object.keys(document.components.schemas).filter(
      (name) => !targets.has(`#/components/schemas/${name}`) && !name.endsWith("Event"),
    );
    expect(unused).toEqual([]);
  });
});

test("every problem code is documented for a route, under its status", () => {
  const found = new Set<PublicCode>();
  for (const { responses } of operations())
    for (const [status, { content }] of Object.entries<Described>(responses))
      for (const code of codesOf(content["application/problem+json"]?.schema)) {
        expect(`${statusOf(code)}`, code).toBe(status);
        found.add(code);
      }
  const ofRoutes = PROBLEM_CODES.filter((code) => code !== "route_unknown");
  expect([...found].sort()).toEqual(ofRoutes.sort());
});

test("every operation has a name of its own, for generated clients", () => {
  const names = operations().map(({ operationId }) => operationId);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[a-z][A-Za-z]*$/);
});

// biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
type Described = any;

const operations = (): Described[] =>
  Object.values<Described>(document.paths).flatMap((path) => Object.values(path));

const documented = () =>
  Object.entries<object>(document.paths)
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`))
    .sort();

const codesOf = (schema: Described): PublicCode[] =>
  schema ? schema.allOf.flatMap((part: Described) => part.properties?.code.enum ?? []) : [];

function findRefs(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === "$ref" ? [inner] : findRefs(inner),
  );
}

/** What a JSON pointer of the document points at (RFC 6901). */
function resolve(ref: string): unknown {
  expect(ref).toMatch(/^#\//);
  const names = ref
    .slice(2)
    .split("/")
    .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  return names.reduce((inside: Described, name) => inside?.[name], document);
}

/** A layer of Express's router; `rawPath` is where it is mounted. */
interface Layer {
  rawPath: string;
  route?: { path: string; methods: Record<string, boolean> };
  handle: { stack?: Layer[] };
}

/** `method path` of every route, in OpenAPI's notation. */
function routesOf(stack: unknown, base = ""): string[] {
  return (stack as Layer[]).flatMap(({ rawPath, route, handle }) => {
    if (!route) return handle.stack ? routesOf(handle.stack, base + rawPath) : [];
    const path = (base + route.path).replace(/(?<=.)\/$/, "").replace(/:(\w+)/g, "{$1}");
    return Object.keys(route.methods).map((method) => `${method} ${path}`);
  });
}

const unused = () => {
  throw new Error("no request is made");
};

/** Just enough to register the routes. */
const WITHOUT_PARTS: HttpOptions = {
  version,
  health: unused,
  onRequest: unused,
  allowedOrigins: [],
  trustedHops: 0,
  identify: unused,
  transports: { "/stream": unused },
  poll: unused,
  issueTicket: unused,
  inbox: inboxRoutes({} as Inbox, {} as NotificationEncoder, {} as AnswerLimits),
  // Neither belongs to the API.
  demo: undefined,
  script: Router(),
  log: createLogger("silent"),
};
