import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect } from "vitest";
import { testInBrowser } from "../../../test/browser/support/chromium.ts";
import { openTrial } from "../../../test/faults/support/trial.ts";
import { openBellPage, openBrowser, type Shown } from "./support/bell-page.ts";
import { type Hold, startHoldingProxy } from "./support/holding-proxy.ts";
import { expectHonest } from "./support/statuses.ts";
import { EXACT, startWriting, type Writing } from "./support/writing.ts";

const inBrowser = testInBrowser("proxies that hold streams back");

/** The bell tries a stream again after five minutes. */
const [SWITCHES, AGAIN_MS] = [20, 301_000];
/** And some time for a busy machine. */
const LATEST_MS = 30_000 + 2000;

const measured: Record<string, unknown>[] = [];
afterAll(() => console.table(measured));

/** No row was later than 30 s, and the status was right. */
async function report(holds: string, shown: Shown, writing: Writing, log: string[]) {
  const latestMs = writing.latestMs(shown.rangAt);
  const [[, openedAt] = ["", 0]] = shown.statuses;
  const statuses = shown.statuses.map(
    ([status, at]) => `${status} ${((at - openedAt) / 1000).toFixed(1)}`,
  );
  measured.push({ holds, "latest, s": latestMs / 1000, statuses: statuses.join(", ") });
  expect(latestMs, log.join("\n")).toBeLessThan(LATEST_MS);
  expectHonest(shown, ["polling", "live"]);
}

/** One page behind a proxy for each of these. */
async function openBells(holds: readonly Hold[], first: (hold: Hold) => Hold) {
  const { service, databaseUrl } = await openTrial();
  const browser = await openBrowser();
  const token = await service.token("1");
  const bells = [];
  for (const hold of holds) {
    const proxy = await startHoldingProxy(service.url, first(hold));
    const context = await browser.newContext();
    const bell = await openBellPage({ context, address: `${proxy.url}/livez`, token });
    bells.push({ hold, proxy, ...bell });
  }
  return { bells, databaseUrl };
}

const HOLDS = ["all", "until it ends", "the last event", "all, and waiting polls"] as const;

inBrowser(
  "behind a proxy that holds streams back it polls, and is live when it is mended",
  async () => {
    const { bells, databaseUrl } = await openBells(HOLDS, (hold) => hold);
    for (const { status } of bells) await expect.poll(status).toBe("polling");
    // Three streams were tried.
    await delay(35_000);
    const writing = await startWriting({ url: databaseUrl, recipients: ["1"], pauseMs: 20_000 });
    await delay(90_000);
    await writing.close();
    for (const { hold, proxy, rang, shown, pass, status, log } of bells) {
      await expect.poll(async () => writing.verdict(await rang())).toEqual(EXACT);
      expect(await status()).toBe("polling");
      proxy.change("nothing");
      await pass(AGAIN_MS);
      await expect.poll(status).toBe("live");
      await report(hold, await shown(), writing, log);
    }
  },
);

inBrowser(
  "behind a proxy that holds streams back, rows that come while it finds out are not late",
  async () => {
    const { bells, databaseUrl } = await openBells(HOLDS, (hold) => hold);
    for (const { rang } of bells) await expect.poll(rang).toEqual([]);
    const writing = await startWriting({ url: databaseUrl, recipients: ["1"], pauseMs: 12_000 });
    await delay(80_000);
    await writing.close();
    for (const { hold, rang, shown, log } of bells) {
      await expect.poll(async () => writing.verdict(await rang())).toEqual(EXACT);
      await report(`${hold}, rows from the start`, await shown(), writing, log);
    }
  },
);

inBrowser("a stream that a proxy swallows from some moment on is replaced", async () => {
  const { bells, databaseUrl } = await openBells(["all", "until it ends"], () => "nothing");
  for (const { status } of bells) await expect.poll(status).toBe("live");
  for (const { proxy, hold } of bells) proxy.change(hold);
  const writing = await startWriting({ url: databaseUrl, recipients: ["1"], pauseMs: 5000 });
  for (const { status } of bells) await expect.poll(status, { timeout: 120_000 }).toBe("polling");
  await writing.close();
  for (const { hold, rang, shown } of bells) {
    await expect.poll(async () => writing.verdict(await rang())).toEqual(EXACT);
    measured.push({
      holds: `${hold}, an open stream`,
      "latest, s": writing.latestMs((await shown()).rangAt) / 1000,
    });
    expectHonest(await shown(), ["polling", "live"]);
  }
});

inBrowser("nothing is lost or told twice over twenty switches under load", async () => {
  const holds = ["all", "until it ends", "the last event"] as const;
  const { bells, databaseUrl } = await openBells(holds, () => "nothing");
  for (const { status } of bells) await expect.poll(status).toBe("live");
  const writing = await startWriting({ url: databaseUrl, recipients: ["1"], pauseMs: 40 });
  for (let i = 0; i < SWITCHES; i += 2) {
    for (const { proxy, hold } of bells) {
      proxy.change(hold);
      proxy.cut();
    }
    // The next event releases the one before, so under load the stream is not held back for long.
    for (const { hold, status } of bells)
      await expect.poll(status).toBe(hold === "the last event" ? "live" : "polling");
    // So that it polls for good, not between two streams.
    await delay(25_000);
    for (const { proxy, pass } of bells) {
      proxy.change("nothing");
      await pass(AGAIN_MS);
    }
    for (const { status } of bells) await expect.poll(status).toBe("live");
  }
  await writing.close();
  for (const { hold, rang, shown } of bells) {
    await expect.poll(async () => writing.verdict(await rang())).toEqual(EXACT);
    const { statuses, rangAt } = await shown();
    measured.push({
      holds: `${hold}, under load`,
      rows: writing.written.length,
      "latest, s": writing.latestMs(rangAt) / 1000,
      polling: statuses.filter(([each]) => each === "polling").length,
    });
    expectHonest(await shown(), ["polling", "live"]);
  }
});
