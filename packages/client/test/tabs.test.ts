import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { chromium, type Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { LAUNCH, testInBrowser } from "../../../test/browser/support/chromium.ts";
import { startFront } from "../../../test/browser/support/front.ts";
import { createDatabase } from "../../../test/support/database.ts";
import { startService } from "../../../test/support/service.ts";

const inBrowser = testInBrowser("one connection for all tabs");

const bundle = (file: string) =>
  buildSync({
    entryPoints: [fileURLToPath(new URL(`../src/${file}`, import.meta.url))],
    bundle: true,
    format: "esm",
    write: false,
  }).outputFiles[0]?.text;

/** A page with a bell, and what a test can see of it. */
const WITH_BELL = `
  ${bundle("bell.ts")}
  const bell = createBell({ url: "/api/notifications" });
  const asked = globalThis.fetch;
  globalThis.fetch = (url, ...rest) => {
    globalThis.hasStream ||= /stream/.test(url);
    return asked(url, ...rest);
  };
  const rang = [];
  bell.on("notification", ({ title }) => rang.push(title));
  globalThis.look = () => {
    const { status, unread, notifications } = bell.getSnapshot();
    return { status, unread, titles: notifications.map(({ title }) => title).reverse(), rang };
  };`;

/** A page that wants to lead, and how often it has led. */
const WITHOUT_BELL = `
  ${bundle("tabs.ts")}
  globalThis.led = 0;
  const onLead = () => { globalThis.led++; return () => {}; };
  const ignore = () => {};
  globalThis.tabs = shareAmongTabs({ name: "tabs", onLead, onMessage: ignore, onReturn: ignore, onWake: ignore });
  if (location.search !== "?alone") tabs.join("a group");`;

/** The page, if it is the one that opened a stream. */
async function isLeader(page: Page): Promise<Page> {
  if (!(await page.evaluate("globalThis.hasStream"))) throw new Error("no leader");
  return page;
}

interface Look {
  status: string;
  unread: number;
  titles: string[];
  rang: string[];
}

const look = (page: Page): Promise<Look> => page.evaluate("globalThis.look?.()") as Promise<Look>;

/** Browsers trust localhost also without TLS, but no other host. */
const INSECURE_HOST = "shop.test";

async function openBrowser() {
  const args = [...LAUNCH.args, `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`];
  const browser = await chromium.launch({ ...LAUNCH, args });
  onTestFinished(() => browser.close());
  return await browser.newContext();
}

/** Opens pages of one user. `written` has the titles of all notifications. */
async function openShop(host = "shop.localhost") {
  const database = await createDatabase();
  onTestFinished(database.close);
  const service = await startService({
    databaseUrl: database.url,
    env: { JWT_COOKIE: "session" },
  });
  const front = await startFront(WITH_BELL);
  front.pointTo(service.url);
  const origin = front.origin(host);
  const context = await openBrowser();
  const signIn = async (recipient: string) =>
    context.addCookies([{ name: "session", value: await service.token(recipient), url: origin }]);
  await signIn("1");

  const written: string[] = [];
  async function notify(title: string, recipient = "1") {
    await database.query("select bellwire.notify($1, 'note', title => $2)", [recipient, title]);
    if (recipient === "1") written.push(title);
  }
  const streams = async () =>
    /^bellwire_streams (\d+)$/m.exec(await (await fetch(service.metricsUrl)).text())?.[1];

  async function openPage(): Promise<Page> {
    const page = await context.newPage();
    await page.goto(`${origin}/page.html`);
    await expect.poll(async () => (await look(page))?.status).toBe("live");
    return page;
  }
  return { database, service, front, written, signIn, notify, streams, openPage };
}

inBrowser("eight tabs have one stream, and the next one leads when a tab is closed", async () => {
  const { written, notify, streams, openPage } = await openShop();
  let pages: Page[] = [];
  for (let i = 0; i < 8; i++) pages.push(await openPage());
  expect(await streams()).toBe("1");
  while (pages.length > 1) {
    await notify(`to ${pages.length} tabs`);
    for (const page of pages) {
      await expect.poll(async () => (await look(page)).titles).toEqual(written);
      expect((await look(page)).rang).toEqual(written);
    }
    // The first one leads.
    await pages[0]?.close();
    pages = pages.slice(1);
    await notify(`while the next of ${pages.length} takes over`);
    await expect.poll(streams).toBe("1");
  }
});

inBrowser("eight tabs have one stream without Web Locks, too", async () => {
  const { written, notify, streams, openPage } = await openShop(INSECURE_HOST);
  const pages = await Promise.all(Array.from({ length: 8 }, openPage));
  for (const page of pages) expect(await page.evaluate("navigator.locks === undefined")).toBe(true);
  await expect.poll(streams).toBe("1");
  const leader = () => Promise.any(pages.map(isLeader));
  await notify("to all");
  for (const page of pages) {
    await expect.poll(async () => (await look(page)).rang).toEqual(written);
    expect(await page.evaluate("fetch('/api/notifications').then(({ status }) => status)")).toBe(
      200,
    );
  }
  await (await leader()).close();
  await notify("after the leader was closed");
  for (const page of pages.filter((each) => !each.isClosed()))
    await expect.poll(async () => (await look(page)).rang).toEqual(written);
  expect(await streams()).toBe("1");
});

inBrowser("tabs of two users of one browser share nothing", async () => {
  const { database, written, signIn, notify, streams, openPage } = await openShop();
  await notify("to 1");
  const first = [await openPage(), await openPage()];
  await signIn("2");
  await notify("to 2", "2");
  const second = [await openPage(), await openPage()];
  expect(await streams()).toBe("2");
  await notify("again to 1");
  await notify("again to 2", "2");
  for (const page of second)
    await expect
      .poll(() => look(page))
      .toMatchObject({ unread: 2, titles: ["to 2", "again to 2"], rang: ["again to 2"] });
  for (const page of first)
    await expect
      .poll(() => look(page))
      .toMatchObject({ unread: 2, titles: written, rang: ["again to 1"] });

  // The stream of the first tabs comes back with the cookie of the second user.
  await database.query("select bellwire.revoke('1')");
  for (const page of first)
    await expect
      .poll(() => look(page))
      .toMatchObject({ status: "live", unread: 2, titles: ["to 2", "again to 2"] });
  await expect.poll(streams).toBe("1");
  await notify("not shown", "1");
  await notify("last to 2", "2");
  for (const page of first)
    await expect.poll(async () => (await look(page)).rang).toEqual(["again to 1", "last to 2"]);
});

inBrowser("a tab that was left and shown again has what it missed", async () => {
  const { written, notify, openPage } = await openShop();
  const leader = await openPage();
  const other = await openPage();
  await notify("before");
  await expect.poll(async () => (await look(other)).titles).toEqual(written);
  await other.evaluate("dispatchEvent(new Event('pagehide'))");
  await notify("meanwhile");
  await expect.poll(async () => (await look(leader)).titles).toEqual(written);
  expect((await look(other)).titles).toEqual(["before"]);
  await other.evaluate("dispatchEvent(new Event('pageshow'))");
  await expect.poll(async () => (await look(other)).titles).toEqual(written);
  await notify("after");
  await expect.poll(async () => (await look(other)).titles).toEqual(written);
});

inBrowser("a tab that was left and shown again says that the service is away", async () => {
  const { front, service, openPage } = await openShop();
  const page = await openPage();
  await page.evaluate("dispatchEvent(new Event('pagehide'))");
  front.pointTo("http://127.0.0.1:1"); // nothing is there
  await page.evaluate("dispatchEvent(new Event('pageshow'))");
  await expect.poll(async () => (await look(page)).status).toBe("connecting");
  front.pointTo(service.url);
  await expect.poll(async () => (await look(page)).status).toBe("live");
});

inBrowser(
  "a leader that has nothing to tell stays, and one that is silent is replaced",
  async () => {
    const front = await startFront(WITHOUT_BELL);
    front.pointTo("http://127.0.0.1:1"); // nothing is there for the browser's own requests
    const context = await openBrowser();
    await context.clock.install();
    const open = async (path = "/page.html") => {
      const page = await context.newPage();
      await page.goto(`${front.origin("shop.localhost")}${path}`);
      return page;
    };
    const led = (page: Page) => page.evaluate("globalThis.led");
    const first = await open();
    await expect.poll(() => led(first)).toBe(1);
    const second = await open();
    const alone = await open("/page.html?alone");
    await (await open("/page.html?alone")).evaluate("tabs.tell({})");
    /** In both pages. */
    const passMinutes = async (minutes: number) => {
      for (let i = 0; i < minutes * 4; i++) await context.clock.runFor(15_000);
    };
    await passMinutes(10);
    expect([await led(first), await led(second)]).toEqual([1, 0]);
    await first.evaluate("BroadcastChannel.prototype.postMessage = () => {}");
    await passMinutes(3);
    await expect.poll(() => led(second)).toBe(1);
    expect(await led(alone)).toBe(0);
  },
);

inBrowser("a frame that may not have locks leads for itself", async () => {
  const front = await startFront(WITHOUT_BELL);
  front.pointTo("http://127.0.0.1:1");
  const page = await (await openBrowser()).newPage();
  await page.goto(`${front.origin("shop.localhost")}/page.html?alone`);
  await page.evaluate(`
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.src = "/page.html";
    document.body.append(frame);`);
  const led = () => page.frames()[1]?.evaluate("globalThis.led");
  await expect.poll(led).toBe(1);
});
