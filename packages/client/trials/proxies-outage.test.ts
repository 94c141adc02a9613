import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect } from "vitest";
import { testInBrowser } from "../../../test/browser/support/chromium.ts";
import { PROXIES } from "../../../test/faults/support/proxies.ts";
import { openTrial } from "../../../test/faults/support/trial.ts";
import { openBellPage, openBrowser } from "./support/bell-page.ts";
import { expectHonest } from "./support/statuses.ts";
import { EXACT, startWriting } from "./support/writing.ts";

const OUTAGES = ["SIGKILL", "SIGTERM"].flatMap((signal) =>
  [5, 14, 60].map((seconds) => ({ signal: signal as NodeJS.Signals, seconds })),
);

const measured: Record<string, unknown>[] = [];
afterAll(() => console.table(measured));

testInBrowser("outages behind proxies").each(OUTAGES)(
  "behind nginx, Caddy and HAProxy the bell comes back by itself, each row once, after $signal and $seconds s without the service",
  async ({ signal, seconds }) => {
    const { service, databaseUrl } = await openTrial();
    const browser = await openBrowser();
    const token = await service.token("1");
    const bells = [];
    for (const name of ["nginx", "Caddy", "HAProxy"]) {
      const url = await PROXIES[name]?.(service.port);
      const context = await browser.newContext();
      bells.push({ name, ...(await openBellPage({ context, address: `${url}/livez`, token })) });
    }
    for (const { status } of bells) await expect.poll(status).toBe("live");

    const writing = await startWriting({ url: databaseUrl, recipients: ["1"], pauseMs: 200 });
    await writing.more(10);
    const lostAt = Date.now();
    await service.kill(signal);
    await delay(seconds * 1000);
    await service.start();
    await service.waitUntilReady();
    const backAt = Date.now();
    for (const { status } of bells) await expect.poll(status).toBe("live");
    await writing.more(10);
    await writing.close();

    for (const { name, rang, shown, log } of bells) {
      await expect.poll(async () => writing.verdict(await rang())).toEqual(EXACT);
      const after = (await shown()).statuses.filter(([, at]) => at > lostAt);
      const [liveAt] = after.filter(([status]) => status === "live").map(([, at]) => at - backAt);
      measured.push({
        proxy: name,
        signal,
        seconds,
        statuses: after
          .map(([status, at]) => `${status} ${((at - lostAt) / 1000).toFixed(1)}`)
          .join(", "),
        "live after the service, s": ((liveAt ?? Number.NaN) / 1000).toFixed(1),
        attempts: log.filter((line) => line.includes("reconnecting")).length,
        rows: writing.written.length,
      });
      expectHonest(await shown());
    }
  },
);
