import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { testInBrowser } from "../../../test/browser/support/chromium.ts";
import { usePages } from "./support/pages.ts";

const inBrowser = testInBrowser("the accessibility of <notification-bell>");
const { createRecipient } = usePages();

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RUN = `axe.run(document, { rules: { "target-size": { enabled: true } } }).then(({ violations, passes }) => ({
  broken: violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + " " + target.join(" ") + " " + failureSummary)),
  passed: passes.map(({ id }) => id),
}))`;

/** All rules of axe, the ones for good practice and for sizes included. */
async function isAccessible(page: Page, what: string): Promise<void> {
  await page.evaluate(`globalThis.axe ?? (() => { ${AXE} })()`);
  const { broken, passed } = (await page.evaluate(RUN)) as { broken: string[]; passed: string[] };
  expect(broken, what).toEqual([]);
  expect(passed, what).toContain("color-contrast");
}

const HEAD = '<meta name="color-scheme" content="light dark">';
const BELL = `${HEAD}<notification-bell></notification-bell>`;
const PHONE = { width: 375, height: 667 };
const DESKTOP = { width: 1000, height: 700 };

inBrowser(
  "the full list and the toasts, in light and dark, on phone and desktop, in English and Russian",
  async () => {
    const { notify, visit } = createRecipient();
    for (let i = 0; i < 22; i++)
      await notify(`Number ${i}`, { body: "Some text", link: i % 2 ? "/tasks/1" : null });
    const { page, open, panel, items, toasts, host } = await visit({ html: BELL });
    await open();
    await expect.poll(() => items.count()).toBe(20);
    await items.nth(1).locator("button.icon").first().click();
    await items.nth(2).locator("button.icon").last().click();
    await panel.getByText("Muted").first().waitFor();
    for (const lang of ["en", "ru"])
      for (const colorScheme of ["light", "dark"] as const)
        for (const viewport of [DESKTOP, PHONE]) {
          await page.emulateMedia({ colorScheme });
          await page.setViewportSize(viewport);
          await host.evaluate((bell, lang) => bell.setAttribute("lang", lang), lang);
          await panel.getByText(lang === "en" ? "Show more" : "Показать ещё").waitFor();
          const { width } = (await panel.boundingBox()) ?? {};
          expect(width).toBe(viewport === PHONE ? PHONE.width : 400);
          await isAccessible(page, `the list: ${lang}, ${colorScheme}, ${viewport.width}`);
        }

    await page.keyboard.press("Escape");
    for (const title of ["one", "two", "three"])
      await notify(title, { type: "toast", body: "Some text" });
    await expect.poll(() => toasts.count()).toBe(3);
    await toasts.first().hover();
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await isAccessible(page, `toasts: ${colorScheme}`);
    }
  },
);

inBrowser("an empty list, one that could not be loaded, and signed out", async () => {
  const empty = await createRecipient().visit({ html: BELL });
  await empty.open();
  await empty.panel.getByText("No notifications yet").waitFor();
  await isAccessible(empty.page, "empty");

  const failed = await createRecipient().visit({
    html: BELL,
    colorScheme: "dark",
    before: async (page) => {
      await page.clock.install();
      await page.route("**/api/notifications*", (route) => route.abort());
    },
  });
  await failed.becomes("Connecting…");
  await failed.page.clock.fastForward(11_000);
  await failed.becomes("Offline");
  await failed.open();
  await failed.panel.locator(".message", { hasText: "Offline" }).waitFor();
  await isAccessible(failed.page, "not loaded");

  const out = await createRecipient().visit({ html: BELL, isSignedIn: false, viewport: PHONE });
  await out.becomes("Signed out");
  await out.open();
  await isAccessible(out.page, "signed out");
});

inBrowser("follows the page's color scheme, also against the user's preference", async () => {
  const { page, open, panel } = await createRecipient().visit({ html: BELL });
  await open();
  const background = () => panel.evaluate((node) => getComputedStyle(node).backgroundColor);
  const light = await background();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await background();
  expect(dark).not.toBe(light);
  await page.evaluate("document.documentElement.style.colorScheme = 'light'");
  expect(await background()).toBe(light);
  await page.emulateMedia({ colorScheme: "light" });
  await page.evaluate("document.documentElement.style.colorScheme = 'dark'");
  expect(await background()).toBe(dark);
});

inBrowser("moves nothing for who wants less motion", async () => {
  const { open, panel, page } = await createRecipient().visit();
  await open();
  const animation = () => panel.evaluate((node) => getComputedStyle(node).animationName);
  expect(await animation()).toBe("none");
  await page.emulateMedia({ reducedMotion: "no-preference" });
  expect(await animation()).not.toBe("none");
});
