import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { EventSource } from "eventsource";
import { chromium } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import type { Postgres } from "./support/postgres.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";

const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
const OPEN = 1;

/** A page with a plain EventSource and no library of ours. */
interface Client {
  readyState(): Promise<number>;
  titles(): Promise<string[]>;
}

/** https://www.npmjs.com/package/eventsource follows the HTML standard. */
async function openInNode({ url }: ServiceProcess, token: string): Promise<Client> {
  const source = new EventSource(`${url}/api/notifications/stream`, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init.headers, cookie: `session=${token}` } }),
  });
  onTestFinished(() => source.close());
  const titles: string[] = [];
  source.addEventListener("notification", ({ data }) => titles.push(JSON.parse(data).title));
  return { readyState: async () => source.readyState, titles: async () => titles };
}

async function openInChromium({ url }: ServiceProcess, token: string): Promise<Client> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  onTestFinished(() => browser.close());
  const page = await browser.newPage();
  await page.context().addCookies([{ name: "session", value: token, url }]);
  await page.goto(`${url}/livez`); // any page of the same origin
  await page.addScriptTag({
    content: `
      const source = new EventSource("/api/notifications/stream");
      const titles = [];
      source.addEventListener("notification", ({ data }) => titles.push(JSON.parse(data).title));`,
  });
  return {
    readyState: () => page.evaluate("source.readyState"),
    titles: () => page.evaluate("titles"),
  };
}

/** Half a minute of outages and restarts. */
async function harm(postgres: Postgres, service: ServiceProcess, notify: () => Promise<void>) {
  await postgres.stop("immediate");
  await delay(5000);
  await postgres.start();
  await service.waitUntilReady();
  await notify();
  await service.restart("SIGTERM");
  await notify();
  await service.restart("SIGKILL");
  await service.waitUntilReady();
  await notify();
  await service.kill("SIGTERM");
  await delay(8000);
  await notify();
  await service.start();
  await postgres.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()",
  );
  await notify();
  // The database is down when the service starts.
  await postgres.stop("fast");
  await service.restart("SIGKILL");
  await delay(5000);
  await postgres.start();
  await service.waitUntilReady();
  await notify();
}

test.each([
  ["the npm package", openInNode, true],
  ["Chromium", openInChromium, existsSync(CHROMIUM)],
])(
  "the EventSource of %s stays open through outages and restarts and gets each row once",
  async (name, open, isThere) => {
    if (!isThere) return console.warn(`No ${CHROMIUM}: apt-get install chromium. Skipped.`);
    const { postgres, service, query } = await openTrial({ env: { JWT_COOKIE: "session" } });
    const client = await open(service, await service.token("1"));
    await expect.poll(client.readyState).toBe(OPEN);
    let sent = 0;
    const notify = async () => {
      const sql = "select bellwire.notify('1', 'test', title => $1)";
      await query(sql, [`${sent++}`]);
    };
    await notify();
    await expect.poll(client.titles).toEqual(["0"]);

    await harm(postgres, service, notify);
    const healedFrom = performance.now();
    await expect.poll(client.readyState, { timeout: 15_000 }).toBe(OPEN);
    const healMs = performance.now() - healedFrom;
    const all = Array.from({ length: sent }, (_, i) => `${i}`);
    await expect.poll(client.titles, { timeout: 15_000 }).toEqual(all);
    await notify();
    await expect.poll(client.titles).toEqual([...all, `${sent - 1}`]);
    expect(service.exits).toEqual([]);
    report({ fault: name, verdict: { sent, delivered: sent, lost: 0, repeated: 0, healMs } });
  },
);
