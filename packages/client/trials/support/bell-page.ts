import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { onTestFinished } from "vitest";
import { LAUNCH } from "../../../../test/browser/support/chromium.ts";
import type { Status } from "../../src/keep-trying.ts";

/** What a page's bell has shown since it was opened. */
export interface Shown {
  /** Each status, and since when, by `Date.now()`. */
  statuses: [Status, at: number][];
  /** The titles of all that came, and when. */
  rang: string[];
  rangAt: number[];
}

export interface BellPageOptions {
  context: BrowserContext;
  /** Any page of the service's origin. */
  address: string;
  /** Without it, requests carry cookies. */
  token?: string;
}

export type BellPage = Awaited<ReturnType<typeof openBellPage>>;

const [BUNDLE] = buildSync({
  entryPoints: [fileURLToPath(new URL("../../src/bell.ts", import.meta.url))],
  bundle: true,
  format: "iife",
  globalName: "bellwire",
  write: false,
}).outputFiles;

const start = (token?: string) => `
  const now = Date.now.bind(Date);
  let passedMs = 0;
  Date.now = () => now() + passedMs;
  globalThis.pass = (ms) => { passedMs += ms; };
  ${BUNDLE?.text}
  const bell = bellwire.createBell({
    url: "/api/notifications",
    ${token === undefined ? "" : `getToken: async () => ${JSON.stringify(token)},`}
    debug: true,
  });
  const shown = { statuses: [[bell.getSnapshot().status, now()]], rang: [], rangAt: [] };
  bell.on("status", (status) => shown.statuses.push([status, now()]));
  bell.on("notification", ({ title }) => {
    shown.rang.push(title);
    shown.rangAt.push(now());
  });
  globalThis.shown = shown;`;

export async function openBrowser(): Promise<Browser> {
  const browser = await chromium.launch(LAUNCH);
  onTestFinished(() => browser.close());
  return browser;
}

/** A page with a bell. */
export async function openBellPage({ context, address, token }: BellPageOptions) {
  const page: Page = await context.newPage();
  /** What the bell wrote to the console. */
  const log: string[] = [];
  page.on("console", (message) => log.push(`${new Date().toISOString()} ${message.text()}`));
  await page.goto(address);
  await page.addScriptTag({ content: start(token) });
  const shown = () => page.evaluate("globalThis.shown") as Promise<Shown>;
  return {
    page,
    log,
    shown,
    status: async () => (await shown()).statuses.at(-1)?.[0],
    rang: async () => (await shown()).rang,
    /** Lets the page's clock jump. Its timers go on as before. */
    pass: (ms: number) => page.evaluate(`globalThis.pass(${ms})`),
  };
}
