import { expect } from "vitest";
import { testInBrowser } from "../../../test/browser/support/chromium.ts";
import { STRICT_CSP, usePages } from "./support/pages.ts";

const inBrowser = testInBrowser("hostile notifications in <notification-bell>");
const { createRecipient, service } = usePages();

const LONG = 300_000;

const TEXTS: (string | null)[] = [
  "<script>globalThis.ran = 1</script>",
  "<img src=x onerror='globalThis.ran = 1'>",
  "</span></article></ul><iframe srcdoc='<script>parent.ran = 1</script>'>",
  "<svg onload='globalThis.ran = 1'><style>* { display: none }</style>",
  "{{constructor.constructor('globalThis.ran = 1')()}}",
  "\u202Etxt.exe\u202D\u2066\u2067\u2068 never ended",
  "שלום العربية mixed with English \u200F\u200E",
  `Z̴̢̛̥${"\u0335\u0321\u0334".repeat(300)}algo`,
  "x".repeat(LONG),
  "word ".repeat(LONG / 5),
  `${"\n".repeat(1000)}after many lines`,
  "🔔".repeat(LONG / 2),
  "",
  "   ",
  null,
];

const LINKS: (string | null)[] = [
  "javascript:globalThis.ran = 1",
  " \tjava\nscript:globalThis.ran = 1",
  "data:text/html,<script>opener.ran = 1</script>",
  "//evil.example/x",
  "/\\evil.example",
  "vbscript:x",
  "https://other.example/\"onclick='globalThis.ran = 1'",
  "/tasks/1",
  "x".repeat(LONG),
  null,
];

const TYPES = ["never.heard.of", "constructor", "__proto__", "<b>", "x".repeat(2000)];

/** 50, in which each text is a title and a body, with each link. */
const HOSTILE = Array.from({ length: 50 }, (_, i) => ({
  title: TEXTS[i % TEXTS.length] ?? null,
  body: TEXTS[(i * 7 + 3) % TEXTS.length] ?? null,
  link: LINKS[i % LINKS.length] ?? null,
  type: TYPES[i % TYPES.length] ?? "",
  data: i % 2 ? null : '{"__proto__": {"ran": 1}, "deep": [[[[]]]]}',
}));

inBrowser("50 hostile notifications are text, run nothing and stay within the layout", async () => {
  const { notify, visit } = createRecipient();
  for (const { title, ...fields } of HOSTILE.slice(0, 40)) await notify(title, fields);
  const { page, errors, host, open, items, panel, toasts, titles } = await visit({
    headers: STRICT_CSP,
    before: (page) => page.clock.install(),
  });
  const { width: windowWidth, height: windowHeight } = page.viewportSize() ?? {
    width: 0,
    height: 0,
  };
  await page.locator(".dot[data-status=live]").first().waitFor();

  // The last ten come as they happen.
  for (const { title, ...fields } of HOSTILE.slice(40)) {
    await notify(title, fields);
    await expect.poll(() => toasts.count()).toBeGreaterThan(0);
    for (const toast of await toasts.all()) {
      const box = await toast.boundingBox();
      if (!box) continue; // it has just gone
      expect(box.width).toBe(340);
      expect(box.height).toBeLessThan(180);
      expect(box.x + box.width).toBeLessThan(windowWidth);
      expect(box.y + box.height).toBeLessThan(windowHeight);
    }
  }

  await open();
  await expect.poll(() => items.count()).toBe(30);
  await panel.getByRole("button", { name: "Show more" }).click();
  await expect.poll(() => items.count()).toBe(50);
  expect((await panel.boundingBox())?.width).toBe(400);
  const layout = await panel.evaluate((node) => ({
    overflowing: [node, ...node.querySelectorAll("*")].filter(
      (each) =>
        each.scrollWidth > each.clientWidth + 1 &&
        getComputedStyle(each).overflowX === "visible" &&
        each.clientWidth > 0,
    ).length,
    pageOverflows: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    highest: Math.max(...[...node.querySelectorAll("article")].map((each) => each.offsetHeight)),
    timeLefts: new Set(
      [...node.querySelectorAll("time")].map((each) => each.getBoundingClientRect().left),
    ).size,
    tags: [...new Set([...node.querySelectorAll("*")].map((each) => each.localName))].sort(),
    position: getComputedStyle(node).position,
  }));
  expect(layout).toMatchObject({
    overflowing: 0,
    pageOverflows: false,
    timeLefts: 1,
    position: "fixed",
  });
  expect(layout.highest).toBeLessThan(180);
  expect(layout.tags).toEqual([
    "a",
    "article",
    "button",
    "div",
    "h2",
    "li",
    "p",
    "path",
    "span",
    "svg",
    "time",
    "ul",
  ]);

  const shown = (await titles()).reverse();
  HOSTILE.forEach(({ title }, i) => {
    const whole = title?.trim() || "Notification";
    const text = shown[i] ?? "";
    expect(whole.startsWith(text.replace(/…$/, "")), text).toBe(true);
    expect(text.length).toBeLessThanOrEqual(201);
  });
  const hrefs = await host
    .locator("a")
    .evaluateAll((links) => links.map((link) => (link as HTMLAnchorElement).href));
  expect(new Set(hrefs.map((href) => new URL(href).origin))).toEqual(
    new Set([service().url, "https://other.example"]),
  );
  // A click runs nothing either.
  for (const item of (await items.all()).slice(0, 10))
    if ((await item.locator("a").count()) === 0) await item.locator(".open").click();
  expect(await page.evaluate("globalThis.ran")).toBeUndefined();
  expect(errors).toEqual([]);
});

inBrowser("a notification without a link that may be followed is a button", async () => {
  const { notify, visit } = createRecipient();
  await notify("a trap", { link: "javascript:globalThis.ran = 1" });
  const { page, open, panel } = await visit();
  await open();
  await panel.getByRole("button", { name: "a trap" }).click();
  expect(await panel.locator("a").count()).toBe(0);
  expect(await page.evaluate("globalThis.ran")).toBeUndefined();
});
