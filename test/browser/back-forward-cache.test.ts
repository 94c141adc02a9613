import { readFileSync } from "node:fs";
import { expect, onTestFinished } from "vitest";
import { createDatabase } from "../support/database.ts";
import { startService } from "../support/service.ts";
import { openChromium } from "./support/cdp.ts";
import { testInBrowser } from "./support/chromium.ts";
import { startFront } from "./support/front.ts";

const inBrowser = testInBrowser("pages in the back/forward cache");

const page = readFileSync(new URL("../../docs/api.md", import.meta.url), "utf8");
const [, snippet] =
  /\n## A page of the same host, with a cookie\n[\s\S]*?```js\n([\s\S]*?)```/.exec(page) ?? [];

/** The functions that the snippet leaves to the application, and what a test can see of a page. */
const MODULE = `
  let titles = [];
  const render = (notifications) => { titles = notifications.map(({ title }) => title).reverse(); };
  const add = ({ title }) => titles.push(title);
  const [update, remove, renewCookie, signInAgain] = [() => {}, () => {}, () => {}, () => {}];
  let wasCached = false;
  addEventListener("pageshow", ({ persisted }) => { wasCached = persisted; });
  globalThis.look = () => ({
    page: location.search,
    titles,
    isOpen: stream?.readyState === EventSource.OPEN,
    wasCached,
  });
  ${snippet}`;

/** Without a free connection a seventh page waits for a minute. */
const AT_ONCE = { timeout: 10_000 };

inBrowser(
  "each of many pages of a site loads at once, and going back shows what was missed, once",
  async () => {
    const database = await createDatabase();
    onTestFinished(database.close);
    const service = await startService({
      databaseUrl: database.url,
      env: { JWT_COOKIE: "session" },
    });
    const front = await startFront(MODULE);
    front.pointTo(service.url);
    const origin = front.origin("shop.localhost");
    const { openTab } = await openChromium();
    const tab = await openTab();
    await tab.send("Network.setCookie", {
      name: "session",
      value: await service.token("1"),
      url: origin,
    });
    const written: string[] = [];
    async function notify(title: string) {
      await database.query("select bellwire.notify('1', 'note', title => $1)", [title]);
      written.push(title);
    }
    const shows = (page: number, wasCached: boolean) =>
      expect
        .poll(() => tab.evaluate("globalThis.look?.()"), AT_ONCE)
        .toEqual({ page: `?${page}`, titles: written, isOpen: true, wasCached });

    for (let page = 1; page <= 8; page++) {
      // Not awaited, because the result comes only when the page does.
      tab.send("Page.navigate", { url: `${origin}/page.html?${page}` }).catch(() => {});
      await shows(page, false);
      // Then its cursor is that of an event.
      await notify(`while ${page} is open`);
      await shows(page, false);
    }
    for (let page = 7; page >= 3; page--) {
      await notify(`before going back to ${page}`);
      front.asked.length = 0;
      await tab.evaluate("history.back()");
      await shows(page, true);
      await notify(`back at ${page}`);
      await shows(page, true);
      // It resumes at its position, and fetches no list.
      expect(front.asked.map(({ path }) => path)).toEqual([
        expect.stringMatching(/^\/api\/notifications\/stream\?lastEventId=v1\./),
      ]);
    }
  },
  30_000,
);
