import { existsSync } from "node:fs";
import { test } from "vitest";

/** Chromium is 300 MB, so it is not a dependency; the tests use the system's. */
const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

/** Options for playwright. */
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

/** `test` if there is a Chromium. Otherwise it skips, and says what is not tested. */
export function testInBrowser(what: string): typeof test | typeof test.skip {
  if (existsSync(CHROMIUM)) return test;
  console.warn(`No ${CHROMIUM}: apt-get install chromium, or set CHROMIUM_PATH. Skipped: ${what}.`);
  return test.skip;
}
