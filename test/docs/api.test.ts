import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium, type Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { meaningOf, PROBLEM_CODES, statusOf } from "../../src/http/problem-codes.ts";
import { LAUNCH, testInBrowser } from "../browser/support/chromium.ts";
import { startFront } from "../browser/support/front.ts";
import { createDatabase } from "../support/database.ts";
import { call, startService } from "../support/service.ts";

const SECRET = "a secret that is long enough for HS256";
const ROOT = new URL("../../", import.meta.url);
const text = readFileSync(new URL("docs/api.md", ROOT), "utf8");

const inBrowser = testInBrowser("pages of docs/api.md");

const CURL = "/usr/bin/curl";
const withCurl = existsSync(CURL) ? test : test.skip;
if (!existsSync(CURL))
  console.warn(`No ${CURL}: apt-get install curl. Skipped: its lines of docs/api.md.`);

/** The only example under a heading. It calls `origin` instead of the service of the text. */
function exampleUnder(heading: string, origin = "http://localhost:3000"): string {
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const [, example] = /```\w+\n([\s\S]*?)```/.exec(section.split("\n## ")[0] ?? "") ?? [];
  if (!example) throw new Error(`docs/api.md has no example under "${heading}"`);
  return example.replaceAll("http://localhost:3000", origin);
}

async function start(env: Record<string, string> = {}) {
  const database = await createDatabase();
  onTestFinished(database.close);
  const service = await startService({ databaseUrl: database.url, env });
  const notify = (title: string) =>
    database.query("select bellwire.notify('1', 'note', title => $1)", [title]);
  return { database, service, notify };
}

/** A page on its own host, with the functions that the examples leave to the application. */
async function openPage(origin: string, cookie?: { name: string; value: string }) {
  const browser = await chromium.launch(LAUNCH);
  onTestFinished(() => browser.close());
  const context = await browser.newContext();
  if (cookie) await context.addCookies([{ ...cookie, url: origin, sameSite: "Lax" }]);
  const page = await context.newPage();
  await page.goto(`${origin}/page.html`);
  await page.evaluate(
    `titles = []; unread = undefined;
     render = (notifications, count) => { titles = notifications.map(({ title }) => title).reverse(); unread = count; };
     add = ({ title }, count) => { titles.push(title); unread = count; };
     update = (changes, count) => { unread = count; };
     remove = () => {};
     markAll = () => {};
     renewCookie = () => {};
     signInAgain = () => { titles.push("sign in again"); };`,
  );
  return page;
}

const shown = (page: Page) => page.evaluate<string[]>("titles");
const unread = (page: Page) => page.evaluate<number>("unread");
/** A browser waits up to 5 s before it reconnects. */
const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 15_000 });

withCurl("the lines for curl do what they say", async () => {
  const { service, notify } = await start();
  const { cursor } = (await call(service, "1", "/")).body;
  await notify("hello");
  const lines = exampleUnder("curl", service.url);
  const { stdout } = await promisify(execFile)("bash", ["-c", lines], {
    env: { ...process.env, TOKEN: await service.token("1"), CURSOR: cursor },
  }).catch((err) => err); // `--max-time` ends the last command with code 28
  const [list, counts, changed, poll, ...stream] = stdout
    .replaceAll("}{", "}\n{")
    .replace(/}retry/, "}\nretry")
    .split("\n");
  expect(JSON.parse(list)).toMatchObject({ notifications: [{ title: "hello" }], unread: 1 });
  expect(JSON.parse(counts)).toEqual({ count: 1, unseen: 1 });
  expect(JSON.parse(changed)).toEqual({ changed: 1 });
  expect(JSON.parse(poll)).toMatchObject({ notifications: [{ title: "hello" }], unseen: 0 });
  expect(stream.join("\n")).toMatch(
    /^retry: \d+\nevent: ready\n[\s\S]*event: notification\n.*"title":"hello"/,
  );
});

inBrowser("a page of the same host needs a cookie and nothing else", async () => {
  const front = await startFront();
  const { database, service, notify } = await start({ JWT_COOKIE: "session" });
  front.pointTo(service.url);
  await notify("before");
  const cookie = { name: "session", value: await service.token("1") };
  const page = await openPage(front.origin("shop.localhost"), cookie);
  await page.evaluate(
    `(async () => { ${exampleUnder("A page of the same host, with a cookie")}; mark = markRead; })()`,
  );
  await notify("live");
  await eventually(() => shown(page)).toEqual(["before", "live"]);
  front.cut();
  await notify("while it was away");
  await eventually(() => shown(page)).toEqual(["before", "live", "while it was away"]);
  expect(await unread(page)).toBe(3);
  const [row] = await database.query<{ id: string }>(
    "select id::text from bellwire.notifications where title = 'live'",
  );
  await page.evaluate(`mark(${JSON.stringify(row?.id)})`);
  await eventually(() => unread(page)).toBe(2);

  // Does what the back/forward cache would do, which playwright turns off.
  const streams = async () =>
    /^bellwire_streams (\d+)$/m.exec(await (await fetch(service.metricsUrl)).text())?.[1];
  const tell = (type: string) =>
    page.evaluate(`dispatchEvent(new PageTransitionEvent("${type}", { persisted: true })); void 0`);
  await tell("pagehide");
  await eventually(streams).toBe("0");
  await notify("while it was in the cache");
  await tell("pageshow");
  await eventually(() => shown(page).then((titles) => titles.at(-1))).toBe(
    "while it was in the cache",
  );
  // After a reset the new list replaces what was shown.
  await tell("pagehide");
  await eventually(streams).toBe("0");
  await database.query("truncate bellwire.notifications");
  await notify("of another history");
  await tell("pageshow");
  await eventually(() => shown(page)).toEqual(["of another history"]);
});

inBrowser(
  "a page of another origin reconnects with a new ticket each time, and misses nothing",
  async () => {
    const front = await startFront();
    const shop = front.origin("shop.localhost");
    const { service, notify } = await start({ ALLOWED_ORIGINS: shop });
    front.pointTo(service.url);
    await notify("before");
    const page = await openPage(shop);
    const heading = "A page of another origin, with a bearer token and tickets";
    const example = exampleUnder(heading, front.origin("bell.localhost"));
    const token = JSON.stringify(await service.token("1"));
    await page.evaluate(`(async () => { getToken = async () => ${token}; ${example} })()`);
    for (const title of ["live", "again"]) {
      await notify(title);
      await eventually(() => shown(page).then((titles) => titles.at(-1))).toBe(title);
      front.cut();
      await notify(`while it was away from ${title}`);
      await eventually(() => shown(page).then((titles) => titles.at(-1))).toContain("away from");
    }
    expect(await shown(page)).toEqual([
      "before",
      "live",
      "while it was away from live",
      "again",
      "while it was away from again",
    ]);
  },
);

inBrowser("where streams do not pass, a page polls with the same cursor", async () => {
  const front = await startFront();
  const shop = front.origin("shop.localhost");
  const { service, notify } = await start({ ALLOWED_ORIGINS: shop });
  front.pointTo(service.url);
  const { cursor } = (await call(service, "1", "/")).body;
  const page = await openPage(shop);
  const example = exampleUnder(
    "Polling, where streams do not work",
    front.origin("bell.localhost"),
  );
  const token = JSON.stringify(await service.token("1"));
  await page.evaluate(
    `cursor = ${JSON.stringify(cursor)}; getToken = async () => ${token}; ${example}; pollOnce = poll; void 0`,
  );
  await notify("one");
  expect(await page.evaluate("pollOnce()")).toBe(0);
  const waiting = page.evaluate("pollOnce()");
  await notify("two");
  await waiting;
  expect(await shown(page)).toEqual(["one", "two"]);
  expect(await unread(page)).toBe(2);
});

test("the Next.js route makes a token for the signed-in user that the service accepts", async () => {
  const folder = await mkdtemp(join(ROOT.pathname, "test/docs/example-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "session.ts"), "export const currentUserId = async () => who.id;\n");
  await writeFile(join(folder, "route.ts"), exampleUnder("The token, from a Next.js route"));
  const who: { id?: number } = {};
  Object.assign(globalThis, { who });
  const before = process.env.JWT_SECRET;
  process.env.JWT_SECRET = SECRET;
  const { GET } = (await import(join(folder, "route.ts"))) as { GET: () => Promise<Response> };
  if (before === undefined) delete process.env.JWT_SECRET;
  else process.env.JWT_SECRET = before;

  expect((await GET()).status).toBe(401);
  who.id = 1;
  const response = await GET();
  expect(response.headers.get("cache-control")).toBe("no-store");
  const { token } = (await response.json()) as { token: string };
  const { service, database, notify } = await start();
  await notify("for whoever is signed in");
  const ask = () =>
    fetch(`${service.url}/api/notifications/unread-count`, {
      headers: { authorization: `Bearer ${token}` },
    });
  expect(await (await ask()).json()).toEqual({ count: 1, unseen: 1 });
  await database.query("select bellwire.revoke('1')");
  expect((await ask()).status).toBe(401);
});

test("a page that applies a mark-all with the example holds what the list returns", async () => {
  const { service, database } = await start();
  await database.query("select bellwire.notify('1', 'note') from generate_series(1, 12)");
  await database.query(
    "insert into bellwire.notifications (recipient_id, type, read_at) values ('1', 'imported', now())",
  );
  const list = async () => (await call(service, "1", "/")).body;
  const { notifications, cursor } = await list();
  const before = notifications[2].id;
  const page = new Map(notifications.map((held: { id: string }) => [held.id, held]));
  await call(service, "1", "/mark-all-read", { method: "POST", body: { before } });
  const { all } = (await call(service, "1", `/poll?since=${cursor}`)).body;
  const markAll = new Function("page", `${exampleUnder("What a page holds")}; return markAll;`)(
    page,
  );
  markAll(all);
  expect([...page.values()]).toEqual((await list()).notifications);
});

test("the table of problems has every code with its status and meaning", () => {
  const rows = text.split("\n").filter((line) => /^\| `\w+` \| \d{3} \|/.test(line));
  expect(rows).toEqual(
    PROBLEM_CODES.map((code) => `| \`${code}\` | ${statusOf(code)} | ${meaningOf(code)} |`),
  );
});

test("every example is run by a test of this file", () => {
  const own = readFileSync(new URL(import.meta.url), "utf8");
  const sections = text.split("\n## ").slice(1);
  const headings = sections
    .filter((section) => section.includes("```"))
    .map((s) => s.split("\n")[0]);
  expect(headings).toHaveLength(6);
  for (const heading of headings) expect(own).toContain(`"${heading}"`);
  for (const section of sections) expect(section.split("```").length).toBeLessThanOrEqual(3);
});
