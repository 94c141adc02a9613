import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect } from "vitest";
import { testInBrowser } from "../../../test/browser/support/chromium.ts";
import { openTrial } from "../../../test/faults/support/trial.ts";
import { type Answer, startAnsweringProxy } from "./support/answering-proxy.ts";
import { openBellPage, openBrowser } from "./support/bell-page.ts";
import { expectHonest } from "./support/statuses.ts";
import { EXACT, startWriting } from "./support/writing.ts";

const inBrowser = testInBrowser("what proxies answer instead of the service");

const measured: Record<string, unknown>[] = [];
afterAll(() => console.table(measured));

inBrowser("whatever a proxy answers, nobody is signed out, and the bell comes back", async () => {
  const { service, databaseUrl } = await openTrial({ env: { JWT_COOKIE: "session" } });
  const proxy = await startAnsweringProxy(service.url);
  const challenge = { "www-authenticate": 'Basic realm="proxy"' };
  const answers: Record<string, Answer> = {
    basic: { status: 401, headers: challenge },
    redirect: { status: 302, headers: { location: "/login" } },
    "other-redirect": { status: 307, headers: { location: proxy.origin("login.localhost") } },
    page: { status: 200 },
    forbidden: { status: 403 },
    "bad-gateway": { status: 502 },
    unavailable: { status: 503, headers: { "retry-after": "2" } },
    timeout: { status: 504 },
  };
  const browser = await openBrowser();
  const context = await browser.newContext();
  const bells = [];
  for (const [name, answer] of Object.entries(answers))
    for (const by of ["token", "cookie"]) {
      const recipient = `${name}-${by}`;
      const host = `${recipient}.localhost`;
      const [origin, token] = [proxy.origin(host), await service.token(recipient)];
      if (by === "cookie")
        await context.addCookies([{ name: "session", value: token, url: origin }]);
      const address = `${origin}/page.html`;
      const bell = await openBellPage({ context, address, ...(by === "token" && { token }) });
      bells.push({ recipient, host, answer, ...bell });
    }
  for (const { status } of bells) await expect.poll(status).toBe("live");

  const recipients = bells.map(({ recipient }) => recipient);
  const writing = await startWriting({ url: databaseUrl, recipients, pauseMs: 1000 });
  await writing.more(2);
  const lostAt = Date.now();
  for (const { host, answer } of bells) proxy.answer(host, answer);
  proxy.cut();
  for (const { status } of bells) await expect.poll(status).toBe("offline");
  await delay(70_000);
  for (const { recipient, status } of bells)
    expect([recipient, await status()]).toEqual([recipient, "offline"]);
  proxy.mend();
  const mendedAt = Date.now();
  for (const { status } of bells) await expect.poll(status, { timeout: 120_000 }).toBe("live");
  await writing.more(2);
  await writing.close();
  for (const { recipient, rang, shown, log } of bells) {
    await expect.poll(async () => writing.verdict(await rang())).toEqual(EXACT);
    const { statuses } = await shown();
    measured.push({
      answer: recipient,
      attempts: log.filter((line) => line.includes("reconnecting")).length,
      "back after, s": (((statuses.at(-1)?.[1] ?? 0) - mendedAt) / 1000).toFixed(1),
      statuses: statuses
        .filter(([, at]) => at > lostAt)
        .map(([each, at]) => `${each} ${((at - lostAt) / 1000).toFixed(1)}`)
        .join(", "),
    });
    expectHonest(await shown(), ["live", "polling"]);
  }
});

inBrowser("a stream stays open through a service worker that passes requests on", async () => {
  const { service, databaseUrl } = await openTrial();
  const worker = "addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));";
  const proxy = await startAnsweringProxy(service.url, { "/worker.js": worker });
  const context = await (await openBrowser()).newContext();
  const address = `${proxy.origin("shop.localhost")}/page.html`;
  const first = await context.newPage();
  await first.goto(address);
  await first.evaluate(
    "navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready)",
  );
  const bell = await openBellPage({ context, address, token: await service.token("1") });
  expect(await bell.page.evaluate("Boolean(navigator.serviceWorker.controller)")).toBe(true);
  await expect.poll(bell.status).toBe("live");
  const writing = await startWriting({ url: databaseUrl, recipients: ["1"], pauseMs: 5000 });
  await delay(120_000);
  await writing.close();
  await expect.poll(async () => writing.verdict(await bell.rang())).toEqual(EXACT);
  expect((await bell.shown()).statuses.map(([status]) => status)).toEqual(["connecting", "live"]);
  const streams = bell.log.filter((line) => line.endsWith("bell: connected"));
  expect(streams).toHaveLength(1);
  measured.push({
    answer: "a service worker passes on",
    "latest, s": writing.latestMs((await bell.shown()).rangAt) / 1000,
  });
});
