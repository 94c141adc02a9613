import { once } from "node:events";
import { readFileSync } from "node:fs";
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
} from "node:http";
import { buffer } from "node:stream/consumers";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { chromium, type Page } from "playwright-core";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { LAUNCH, testInBrowser } from "../browser/support/chromium.ts";
import { startFront } from "../browser/support/front.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openService, type Service, startService } from "../support/service.ts";

/** As the build has made it. */
const SCRIPT = readFileSync(new URL("../../dist/bellwire.js", import.meta.url));

const inBrowser = testInBrowser("the script of the bell");

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({
    databaseUrl: database.url,
    env: { JWT_COOKIE: "session", MAX_NEW_STREAMS_PER_SECOND: "1" },
  });
  return async () => {
    await service.close();
    await database.close();
  };
});

/** Sends exactly these headers, and takes the bytes as they come, which `fetch` and supertest would decode. */
async function send(method: string, path: string, headers: OutgoingHttpHeaders = {}) {
  const asked = request(service.url + path, { method, headers }).end();
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  const { statusCode: status } = answer;
  return { status, headers: answer.headers, body: await buffer(answer) };
}
const get = (path: string, headers?: OutgoingHttpHeaders) => send("GET", path, headers);

const notify = (recipientId: string) =>
  database.query("select bellwire.notify($1, 'note', title => 'Hello')", [recipientId]);

const currentPath = async () => `/${(await get("/bellwire.js")).headers["content-location"]}`;

test("/bellwire.js is for pages of every origin, without a token, and is revalidated", async () => {
  const { status, headers, body } = await get("/bellwire.js");
  expect(status).toBe(200);
  expect(headers).toMatchObject({
    "access-control-allow-origin": "*",
    "cache-control": "no-cache",
    "content-length": `${SCRIPT.length}`,
    "content-location": expect.stringMatching(/^bellwire\.[0-9a-f]{16}\.js$/),
    "content-type": "text/javascript; charset=utf-8",
    "cross-origin-resource-policy": "cross-origin",
    etag: expect.stringMatching(/^W\/"[0-9a-f]{16}"$/),
    vary: "Accept-Encoding",
    "x-content-type-options": "nosniff",
  });
  expect(body).toEqual(SCRIPT);
  const again = await get("/bellwire.js", { "If-None-Match": headers.etag ?? "" });
  expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0) });
  expect(again.headers).toMatchObject({ etag: headers.etag, "cache-control": "no-cache" });
  expect((await get("/bellwire.js", { "If-None-Match": 'W/"0"' })).status).toBe(200);
});

test("caches may keep the path with the hash; that of another version gets this script, and they may not keep it", async () => {
  const kept = await get(await currentPath());
  expect(kept).toMatchObject({ status: 200, body: SCRIPT });
  expect(kept.headers["cache-control"]).toBe("public, max-age=31536000, immutable");
  const other = await get("/bellwire.0123456789abcdef.js");
  expect(other).toMatchObject({ status: 200, body: SCRIPT });
  expect(other.headers["cache-control"]).toBe("no-cache");
});

test.each([
  ["gzip, deflate, br, zstd", "br", brotliDecompressSync],
  ["gzip, deflate", "gzip", gunzipSync],
  ["br;q=0, gzip;q=0", undefined, (bytes: Buffer) => bytes],
] as const)("for a client that accepts %s it is sent as %s", async (accepted, encoding, decode) => {
  const { headers, body } = await get("/bellwire.js", { "Accept-Encoding": accepted });
  expect(headers["content-encoding"]).toBe(encoding);
  expect(headers["content-length"]).toBe(`${body.length}`);
  expect(decode(body)).toEqual(SCRIPT);
});

test("HEAD has the headers of GET, other methods are unknown, and no limit of connections counts it", async () => {
  const path = await currentPath();
  const stable = ({ date: _, "x-request-id": __, ...rest }: IncomingHttpHeaders) => rest;
  const head = await send("HEAD", path);
  expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
  expect(stable(head.headers)).toEqual(stable((await get(path)).headers));
  const { status, body } = await send("POST", path);
  expect({ status, ...JSON.parse(`${body}`) }).toMatchObject({
    status: 404,
    code: "route_unknown",
  });
  for (let i = 0; i < 20; i++) expect((await get(path)).status).toBe(200);
});

async function openPage(): Promise<Page> {
  const browser = await chromium.launch(LAUNCH);
  onTestFinished(() => browser.close());
  return await browser.newPage();
}

const badge = (page: Page) => page.locator("notification-bell [part~=badge]").textContent();

inBrowser("two lines of HTML are a bell, on the service's own host", async () => {
  const front = await startFront();
  front.pointTo(service.url);
  await notify("two lines");
  const origin = front.origin("shop.localhost");
  const page = await openPage();
  const value = await service.token("two lines");
  await page.context().addCookies([{ name: "session", value, url: origin }]);
  const html = `<script type="module" src="/bellwire.js"></script>
    <notification-bell></notification-bell>`;
  await page.route(`${origin}/`, (route) =>
    route.fulfill({ contentType: "text/html", body: `<!doctype html>${html}` }),
  );
  await page.goto(origin);
  await expect.poll(() => badge(page)).toBe("1");
  await notify("two lines");
  await expect.poll(() => badge(page)).toBe("2");
});

inBrowser("on another site the bell talks to the host of its script", async () => {
  const front = await startFront();
  const [shop, bell] = [front.origin("shop.localhost"), front.origin("bell.localhost")];
  const own = await startService({ databaseUrl: database.url, env: { ALLOWED_ORIGINS: shop } });
  front.pointTo(own.url);
  await notify("other site");
  const page = await openPage();
  // A page that Playwright makes up may not ask a server on this machine.
  await page.goto(`${shop}/page.html`);
  const module = `
    import { createBell } from "${bell}/bellwire.js";
    const bell = document.createElement("notification-bell");
    bell.getToken = async () => "${await own.token("other site")}";
    document.body.append(bell);
    globalThis.exported = typeof createBell;`;
  await page.addScriptTag({ type: "module", content: module });
  await expect.poll(() => badge(page)).toBe("1");
  await notify("other site");
  await expect.poll(() => badge(page)).toBe("2");
  expect(await page.evaluate("globalThis.exported")).toBe("function");
  const hosts = new Set(front.asked.map(({ headers }) => `http://${headers.host}`));
  expect([...hosts]).toEqual([bell]);
});
