import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { chromium, type Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { LAUNCH, testInBrowser } from "../../../test/browser/support/chromium.ts";
import { startFront } from "../../../test/browser/support/front.ts";
import { createDatabase } from "../../../test/support/database.ts";
import { startService } from "../../../test/support/service.ts";

const inBrowser = testInBrowser("one connection for all tabs");

const [client] = buildSync({
  entryPoints: [fileURLToPath(new URL("../src/bell.ts", import.meta.url))],
  bundle: true,
  format: "esm",
  write: false,
}).outputFiles;

/** A page with a bell, and what a test can see of it. */
const MODULE = `
  ${client?.text}
  const bell = createBell({ url: "/api/notifications" });
  const rang = [];
  bell.on("notification", ({ title }) => rang.push(title));
  globalThis.look = () => {
    const { status, unread, notifications } = bell.getSnapshot();
    return { status, unread, titles: notifications.map(({ title }) => title).reverse(), rang };
  };`;

interface Look {
  status: string;
  unread: number;
  titles: string[];
  rang: string[];
}

const look = (page: Page): Promise<Look> => page.evaluate("globalThis.look?.()") as Promise<Look>;

inBrowser("eight tabs have one stream, and the next one leads when a tab is closed", async () => {
  const database = await createDatabase();
  onTestFinished(database.close);
  const service = await startService({
    databaseUrl: database.url,
    env: { JWT_COOKIE: "session" },
  });
  const front = await startFront(MODULE);
  front.pointTo(service.url);
  const origin = front.origin("shop.localhost");
  const browser = await chromium.launch(LAUNCH);
  onTestFinished(() => browser.close());
  const context = await browser.newContext();
  await context.addCookies([{ name: "session", value: await service.token("1"), url: origin }]);

  const written: string[] = [];
  async function notify(title: string) {
    await database.query("select bellwire.notify('1', 'note', title => $1)", [title]);
    written.push(title);
  }
  const streams = async () =>
    /^bellwire_streams (\d+)$/m.exec(await (await fetch(service.metricsUrl)).text())?.[1];

  let pages: Page[] = [];
  for (let i = 0; i < 8; i++) {
    const page = await context.newPage();
    pages.push(page);
    await page.goto(`${origin}/page.html?${i}`);
    await expect.poll(async () => (await look(page))?.status).toBe("live");
  }
  expect(await streams()).toBe("1");
  while (pages.length > 1) {
    const before = written.length;
    await notify(`to ${pages.length} tabs`);
    for (const page of pages) {
      await expect.poll(async () => (await look(page)).titles).toEqual(written);
      expect((await look(page)).rang).toEqual(written);
    }
    expect(before).toBe(written.length - 1);
    // The first one leads.
    await pages[0]?.close();
    pages = pages.slice(1);
    await notify(`while the next of ${pages.length} takes over`);
    await expect.poll(streams).toBe("1");
  }
});
