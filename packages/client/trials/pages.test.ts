import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Tab } from "../../../test/browser/support/cdp.ts";
import { look, openShop } from "./support/shop.ts";

/** Chromium freezes a page that was hidden for minutes; a trial asks for it. */
const freeze = (tab: Tab) => tab.send("Page.setWebLifecycleState", { state: "frozen" });
const resume = (tab: Tab) => tab.send("Page.setWebLifecycleState", { state: "active" });

/** Four tabs, and which of them leads. */
async function openFour() {
  const shop = await openShop();
  const tabs: Tab[] = [];
  for (let i = 0; i < 4; i++) tabs.push(await shop.openPage());
  const leader = await shop.leaderOf(tabs);
  const others = tabs.filter((tab) => tab !== leader);
  await shop.notify("before");
  await shop.expectAll(tabs);
  return { ...shop, tabs, leader, others };
}

test("eight tabs show a row within half a second, and their requests take less than one", async () => {
  const { openPage, notify, streams, expectAll } = await openShop();
  const tabs: Tab[] = [];
  for (let i = 0; i < 8; i++) tabs.push(await openPage());
  expect(await streams()).toBe(1);
  const writtenAt: number[] = [];
  for (let i = 1; i <= 20; i++) {
    await notify(`row ${i}`);
    writtenAt.push(Date.now());
    await expectAll(tabs);
  }
  const looks = await Promise.all(tabs.map(look));
  const shownMs = looks.flatMap(({ rangAt }) => rangAt.map((at, i) => at - (writtenAt[i] ?? 0)));
  const requestMs = await Promise.all(tabs.map((tab) => tab.evaluate(TIMED_REQUEST)));
  console.log(`eight tabs: shown after ${Math.max(...shownMs)} ms at most`);
  console.log(`eight tabs: a request takes ${Math.round(Math.max(...requestMs))} ms at most`);
  expect(shownMs).toHaveLength(8 * 20);
  expect(Math.max(...shownMs)).toBeLessThan(500);
  expect(Math.max(...requestMs)).toBeLessThan(1000);
});

const TIMED_REQUEST = `(async () => {
  const startedAt = performance.now();
  await (await fetch("/api/notifications/unread-count")).json();
  return performance.now() - startedAt;
})()`;

test("the leading tab is frozen for a minute", async () => {
  const { tabs, leader, others, notify, leaderOf, expectAll } = await openFour();
  await freeze(leader);
  await notify("while the next one takes over");
  await leaderOf(others);
  for (let i = 1; i <= 6; i++) {
    await notify(`frozen for ${i * 10} s`);
    await expectAll(others);
    await delay(10_000);
  }
  expect((await look(leader)).titles).toEqual(["before"]);
  await resume(leader);
  await expectAll(tabs);
  await leaderOf(tabs);
  await notify("after");
  await expectAll(tabs);
});

test("a frozen waiter does not take the lead", async () => {
  const { leader, others, notify, leaderOf, expectAll } = await openFour();
  const [waiter, ...awake] = others as [Tab, ...Tab[]];
  // The first that waits would be the next.
  await freeze(waiter);
  await leader.close();
  await notify("while the next one takes over");
  await leaderOf(awake);
  await expectAll(awake);
  await resume(waiter);
  await expectAll(others);
  await notify("after");
  await expectAll(others);
});

test("the leading tab is navigated away and back", async () => {
  const { tabs, leader, others, origin, notify, leaderOf, expectAll } = await openFour();
  await leader.send("Page.navigate", { url: `${origin}/livez` });
  await notify("away");
  await leaderOf(others);
  await expectAll(others);
  await leader.evaluate("history.back()");
  await expect.poll(async () => (await look(leader))?.wasCached).toBe(true);
  await expectAll(tabs);
  await leaderOf(tabs);
  await notify("after");
  await expectAll(tabs);
});

test("the leading tab crashes", async () => {
  const { leader, others, notify, leaderOf, expectAll } = await openFour();
  leader.send("Page.crash").catch(() => {});
  await notify("crashed");
  await leaderOf(others);
  await expectAll(others);
});

test("the leading tab is closed while a thousand rows are written", async () => {
  const { leader, others, notify, written, leaderOf, expectAll } = await openFour();
  for (let i = 1; i <= 1000; i++) {
    await notify(`row ${i}`);
    if (i === 500) void leader.close();
  }
  await leaderOf(others);
  await expectAll(others);
  for (const tab of others) expect((await look(tab)).rang).toEqual(written);
});

test("seven pages of a site, and back", async () => {
  const { openPage, origin, notify, leaderOf, expectAll } = await openShop();
  const tab = await openPage("?1");
  const isAt = (page: number) => expect.poll(async () => (await look(tab))?.path).toBe(`?${page}`);
  for (let page = 2; page <= 7; page++) {
    await tab.send("Page.navigate", { url: `${origin}/page.html?${page}` });
    await isAt(page);
    await leaderOf([tab]);
    await notify(`on page ${page}`);
    await expectAll([tab]);
  }
  for (let page = 6; page >= 1; page--) {
    await notify(`before page ${page} is shown again`);
    await tab.evaluate("history.back()");
    await isAt(page);
    await expectAll([tab]);
    await leaderOf([tab]);
    expect((await look(tab)).wasCached).toBe(true);
  }
});

test("the network is away for half a minute", async () => {
  const { tabs, front, service, notify, leaderOf, expectAll } = await openFour();
  const emulate = async (offline: boolean) => {
    for (const tab of tabs)
      await tab.send("Network.emulateNetworkConditions", {
        offline,
        latency: 0,
        downloadThroughput: -1,
        uploadThroughput: -1,
      });
  };
  await emulate(true);
  front.pointTo("http://127.0.0.1:1");
  front.cut();
  await notify("offline");
  for (const tab of tabs) await expect.poll(async () => (await look(tab)).status).toBe("offline");
  await delay(20_000);
  front.pointTo(service.url);
  await emulate(false);
  await leaderOf(tabs);
  await expectAll(tabs);
  for (const tab of tabs)
    expect((await look(tab)).statuses).toEqual(["live", "connecting", "offline", "live"]);
});

/** It takes seven minutes. */
const inLongTrials = process.env.LONG_TRIALS ? test : test.skip;

inLongTrials("all tabs are hidden for seven minutes", async () => {
  const { tabs, openPage, notify, streams, leaderOf, expectAll } = await openFour();
  const front = await openPage();
  await front.send("Page.navigate", { url: "about:blank" });
  for (const tab of tabs) expect((await look(tab)).isVisible).toBe(false);
  for (let minute = 1; minute <= 7; minute++) {
    await delay(60_000);
    await notify(`hidden for ${minute} minutes`);
    await expectAll(tabs);
    expect(await streams()).toBe(1);
  }
  await (await leaderOf(tabs)).close();
});
