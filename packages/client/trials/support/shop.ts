import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { expect, onTestFinished } from "vitest";
import { openChromium, type Tab } from "../../../../test/browser/support/cdp.ts";
import { startFront } from "../../../../test/browser/support/front.ts";
import { createDatabase } from "../../../../test/support/database.ts";
import { startService } from "../../../../test/support/service.ts";

const bundle = buildSync({
  entryPoints: [fileURLToPath(new URL("../../src/bell.ts", import.meta.url))],
  bundle: true,
  format: "esm",
  write: false,
}).outputFiles[0]?.text;

/** A page with a bell, and what a trial can see of it. */
const PAGE = `
  let stream;
  const ask = globalThis.fetch;
  globalThis.fetch = (url, init) => {
    if (/stream/.test(url)) stream = init.signal;
    return ask(url, init);
  };
  ${bundle}
  const bell = createBell({ url: "/api/notifications" });
  const rang = [];
  const statuses = [];
  const rangAt = [];
  bell.on("notification", ({ title }) => {
    rang.push(title);
    rangAt.push(Date.now());
  });
  bell.on("status", (status) => statuses.push(status));
  let wasCached = false;
  addEventListener("pageshow", ({ persisted }) => { wasCached = persisted; });
  globalThis.look = () => {
    const { status, notifications } = bell.getSnapshot();
    return {
      path: location.search,
      status,
      statuses,
      titles: notifications.map(({ title }) => title).reverse(),
      rang,
      rangAt,
      leads: stream !== undefined && !stream.aborted,
      wasCached,
      isVisible: document.visibilityState === "visible",
    };
  };`;

export interface Look {
  path: string;
  status: string;
  /** Each change of the status. */
  statuses: string[];
  titles: string[];
  /** What the page was told as it came. */
  rang: string[];
  /** When, by `Date.now()`. */
  rangAt: number[];
  leads: boolean;
  wasCached: boolean;
  isVisible: boolean;
}

export const look = (tab: Tab): Promise<Look> => tab.evaluate("globalThis.look?.()");

/** The next tab must lead within this time. */
const NEXT_LEADS_MS = 3000;

/** A site with a bell, in an ordinary Chromium over HTTP/1.1. */
export async function openShop() {
  const database = await createDatabase();
  onTestFinished(database.close);
  const service = await startService({
    databaseUrl: database.url,
    env: { JWT_COOKIE: "session" },
  });
  const front = await startFront(PAGE);
  front.pointTo(service.url);
  const origin = front.origin("shop.localhost");
  const { openTab } = await openChromium();
  const session = { name: "session", value: await service.token("1", 3600), url: origin };

  const written: string[] = [];
  async function notify(title: string) {
    await database.query("select bellwire.notify('1', 'note', title => $1)", [title]);
    written.push(title);
  }
  const streams = async () =>
    Number(/^bellwire_streams (\d+)$/m.exec(await (await fetch(service.metricsUrl)).text())?.[1]);

  async function openPage(path = ""): Promise<Tab> {
    const tab = await openTab();
    await tab.send("Network.setCookie", session);
    await tab.send("Page.navigate", { url: `${origin}/page.html${path}` });
    await expect.poll(async () => (await look(tab))?.status).toBe("live");
    return tab;
  }

  /** Of these tabs exactly one leads, and the service has its stream only. */
  async function leaderOf(tabs: Tab[]): Promise<Tab> {
    const startedAt = performance.now();
    await expect
      .poll(async () => (await Promise.all(tabs.map(look))).filter((each) => each?.leads).length)
      .toBe(1);
    await expect.poll(streams).toBe(1);
    const tookMs = performance.now() - startedAt;
    console.log(`one stream, and its tab leads, after ${Math.round(tookMs)} ms`);
    expect(tookMs).toBeLessThan(NEXT_LEADS_MS);
    for (const tab of tabs) if ((await look(tab)).leads) return tab;
    throw new Error("no tab leads");
  }

  /** Each of these tabs shows everything that was written. What rang in it rang once. */
  async function expectAll(tabs: Tab[]): Promise<void> {
    for (const tab of tabs) {
      await expect.poll(async () => (await look(tab))?.titles).toEqual(written);
      const { rang } = await look(tab);
      expect(rang).toEqual([...new Set(rang)]);
    }
  }

  return {
    database,
    service,
    front,
    origin,
    written,
    notify,
    streams,
    openPage,
    leaderOf,
    expectAll,
  };
}
