import { afterEach, expect, test, vi } from "vitest";
import { createApi } from "../src/api.ts";

afterEach(() => void vi.unstubAllGlobals());

const HTML = { "content-type": "text/html" };
const PROBLEM = { "content-type": "application/problem+json" };

const RESPONSES: [what: string, kind: string, status: number, headers: Record<string, string>][] = [
  ["the service's 401", "unauthorized", 401, PROBLEM],
  ["the service's 403", "forbidden", 403, PROBLEM],
  ["the service's 404", "invalid", 404, PROBLEM],
  ["the service's 429", "away", 429, { ...PROBLEM, "retry-after": "7" }],
  ["the service's 503", "away", 503, PROBLEM],
  ["a proxy that wants a password", "away", 401, { ...HTML, "www-authenticate": "Basic" }],
  ["a proxy's 401 without a body's type", "away", 401, {}],
  ["a firewall's 403", "away", 403, HTML],
  ["a 404 of a proxy that knows no such path now", "away", 404, HTML],
  ["a 502", "away", 502, HTML],
  ["a login page", "away", 200, HTML],
];

test.each(RESPONSES)("%s is %s", async (_, kind, status, headers) => {
  vi.stubGlobal("fetch", async () => new Response('{ "code": "a_code" }', { status, headers }));
  const api = createApi({ url: "/api", onOtherRecipient() {} });
  await expect(api.json("/poll")).rejects.toMatchObject({
    kind,
    retryMs: headers["retry-after"] ? 7000 : 0,
  });
});
