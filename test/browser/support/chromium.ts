import { existsSync } from "node:fs";
import { test } from "vitest";

/** A Chromium is 300 MB, so the package does not bring one: the tests use the system's. */
const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

/** How playwright starts it. */
export const LAUNCH = {
  executablePath: CHROMIUM,
  args: [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};

/** `test` where there is a Chromium; else it skips, and says what is not shown then. */
export function testInBrowser(what: string): typeof test | typeof test.skip {
  if (existsSync(CHROMIUM)) return test;
  console.warn(`No ${CHROMIUM}: apt-get install chromium, or set CHROMIUM_PATH. Skipped: ${what}.`);
  return test.skip;
}
