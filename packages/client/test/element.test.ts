import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { testInBrowser } from "../../../test/browser/support/chromium.ts";
import { focused, hasText, usePages } from "./support/pages.ts";

const inBrowser = testInBrowser("<notification-bell>");
const { createRecipient, database, service } = usePages();

/** Keeps the element's events in the page. */
const KEEP_EVENTS = `
  globalThis.events = [];
  for (const name of ["bell-notification", "bell-open", "bell-click"])
    addEventListener(name, ({ detail }) => events.push([name, detail?.notification?.title, detail?.href]));`;
const events = (page: Page) => page.evaluate("globalThis.events");

describe("the button", () => {
  inBrowser("has the count in its name, and the badge 99+ at most", async () => {
    const { notify, visit } = createRecipient();
    await notify("first");
    const { button, host } = await visit();
    const name = () => button.getAttribute("aria-label");
    await expect.poll(name).toBe("Notifications: 1 unread");
    await hasText(host.locator(".badge"), "1");
    await Promise.all(Array.from({ length: 119 }, () => notify("more")));
    await expect.poll(name).toBe("Notifications: 120 unread");
    await hasText(host.locator(".badge"), "99+");
  });

  inBrowser("says in words when nobody is signed in, and so does the panel", async () => {
    const { panel, open, becomes, page } = await createRecipient().visit({ isSignedIn: false });
    await becomes("Signed out");
    await open();
    expect(await panel.innerText()).toContain("Signed out");
    // Signing in elsewhere, and then the button.
    const session = { name: "session", value: await service().token("late"), url: service().url };
    await page.context().addCookies([session]);
    await panel.getByRole("button", { name: "Try again" }).click();
    await becomes("Connected");
    await panel.getByText("No notifications yet").waitFor();
    expect(await focused(page)).toBe("dialog");
  });

  inBrowser("says when this page may not", async () => {
    const { becomes, open, panel } = await createRecipient().visit({
      before: (page) =>
        page.route("**/api/notifications*", (route) =>
          route.fulfill({
            status: 403,
            contentType: "application/problem+json",
            body: '{"code":"origin_not_allowed"}',
          }),
        ),
    });
    await becomes("No access");
    await open();
    await panel.getByText("No access").first().waitFor();
  });

  inBrowser("says when the service is away, and is live again by itself", async () => {
    const { notify, visit } = createRecipient();
    await notify("waits");
    const { becomes, open, panel, page, titles } = await visit({
      before: async (page) => {
        await page.clock.install();
        await page.route("**/api/notifications*", (route) => route.abort());
      },
    });
    await becomes("Connecting…");
    await open();
    await panel.locator(".message", { hasText: "Connecting…" }).waitFor();
    await page.clock.fastForward(11_000);
    await becomes("Offline");
    await panel.locator(".message", { hasText: "Offline" }).waitFor();
    await page.unroute("**/api/notifications*");
    await panel.getByRole("button", { name: "Try again" }).click();
    await becomes("Connected");
    await expect.poll(titles).toEqual(["waits"]);
  });
});

describe("the panel", () => {
  inBrowser("shows the newest first, and what comes; older ones on request", async () => {
    const { notify, visit } = createRecipient();
    for (let i = 1; i <= 25; i++) await notify(`n${i}`);
    const { open, items, panel, titles } = await visit();
    await open();
    await expect.poll(() => items.count()).toBe(20);
    await notify("new");
    await expect.poll(async () => (await titles())[0]).toBe("new");
    await panel.getByRole("button", { name: "Show more" }).click();
    await expect.poll(() => items.count()).toBe(26);
    await expect
      .poll(() => panel.getByRole("button", { name: "Show more" }).isVisible())
      .toBe(false);
    expect((await titles()).at(-1)).toBe("n1");
  });

  inBrowser(
    "marks all as seen when it opens, and what comes while it is open; none as read",
    async () => {
      const { notify, visit, row } = createRecipient();
      await notify("before");
      const { open, host, button } = await visit();
      const isSeen = () => host.locator(".badge").evaluate((badge) => badge.matches(".seen"));
      await expect.poll(isSeen).toBe(false);
      await open();
      await expect.poll(async () => (await row("before"))?.seen_at).toBeTruthy();
      await expect.poll(isSeen).toBe(true);
      await notify("while open");
      await expect.poll(async () => (await row("while open"))?.seen_at).toBeTruthy();
      expect((await row("before"))?.read_at).toBeNull();
      await expect.poll(() => button.getAttribute("aria-label")).toBe("Notifications: 2 unread");
    },
  );

  inBrowser("marks one read and unread, archives it, and marks all", async () => {
    const { notify, visit, row } = createRecipient();
    for (const title of ["a", "b", "c"]) await notify(title);
    const { open, items, panel, button, titles, page } = await visit();
    await open();
    await expect.poll(titles).toEqual(["c", "b", "a"]);
    const second = items.nth(1);
    await second.hover();
    await second.getByRole("button", { name: "Mark as read" }).click();
    await expect.poll(async () => (await row("b"))?.read_at).toBeTruthy();
    await second.getByRole("button", { name: "Mark as unread" }).click();
    await expect.poll(async () => (await row("b"))?.read_at).toBeNull();

    await second.getByRole("button", { name: "Archive" }).focus();
    await page.keyboard.press("Enter");
    await expect.poll(titles).toEqual(["c", "a"]);
    expect(await focused(page)).toBe("a");
    await expect.poll(async () => (await row("b"))?.archived_at).toBeTruthy();

    await panel.getByRole("button", { name: "Mark all as read" }).click();
    await expect.poll(() => button.getAttribute("aria-label")).toBe("Notifications: 0 unread");
    await expect.poll(async () => (await row("a"))?.read_at).toBeTruthy();
    await panel.locator('[aria-disabled="true"]').waitFor();
  });

  inBrowser("mutes a type, and allows it again", async () => {
    const { notify, visit } = createRecipient();
    await notify("loud", { type: "chatter" });
    const { open, items, titles } = await visit();
    await open();
    const first = items.last();
    await first.hover();
    await first.getByRole("button", { name: "No more like this" }).click();
    await first.getByText("Muted").waitFor();
    await notify("not told", { type: "chatter" });
    await notify("another type");
    await expect.poll(titles).toEqual(["another type", "loud"]);
    await first.getByRole("button", { name: "No more like this", pressed: true }).click();
    await expect.poll(() => first.getByText("Muted").count()).toBe(0);
    await notify("told again", { type: "chatter" });
    await expect.poll(titles).toEqual(["told again", "another type", "loud"]);
  });

  inBrowser("says when an action was not saved, and shows what is true", async () => {
    const { notify, visit } = createRecipient();
    await notify("stays");
    const { open, items, panel, page, titles, region } = await visit();
    await open();
    await page.route("**/api/notifications/*", (route) => route.abort());
    await items.first().hover();
    await items.first().getByRole("button", { name: "Archive" }).click();
    await panel.getByText("Not saved. Try again.").waitFor();
    await hasText(region, "Not saved. Try again.");
    await expect.poll(titles).toEqual(["stays"]);
  });

  inBrowser(
    "closes by Esc, by its button and by a click elsewhere; the focus returns",
    async () => {
      const { page, open, panel } = await createRecipient().visit();
      const close = [
        () => page.keyboard.press("Escape"),
        () => panel.getByRole("button", { name: "Close" }).click(),
      ];
      for (const act of close) {
        await open();
        expect(await focused(page)).toBe("dialog");
        await act();
        await panel.waitFor({ state: "hidden" });
        expect(await focused(page)).toBe("Notifications: 0 unread");
      }
      await open();
      await page.locator("h1").click();
      await panel.waitFor({ state: "hidden" });
    },
  );

  inBrowser("leaves a dialog of the page open when Esc closes it", async () => {
    const html = "<dialog><notification-bell></notification-bell></dialog>";
    const { page, open, panel } = await createRecipient().visit({ html });
    await page.evaluate("document.querySelector('dialog').showModal()");
    const isOpen = () => page.evaluate("document.querySelector('dialog').open");
    await open();
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "hidden" });
    expect(await isOpen()).toBe(true);
    await page.keyboard.press("Escape");
    await expect.poll(isOpen).toBe(false);
  });

  inBrowser("can be used with the keyboard alone", async () => {
    const { notify, visit, row } = createRecipient();
    for (const title of ["oldest", "middle", "newest"]) await notify(title);
    const html = "<notification-bell></notification-bell><a href='/page?next'>next</a>";
    const { page, panel, titles } = await visit({ html });
    const press = async (...keys: string[]) => {
      for (const key of keys) await page.keyboard.press(key);
      return await focused(page);
    };
    expect(await press("Tab")).toBe("Notifications: 3 unread");
    expect(await press("Enter")).toBe("dialog");
    await expect.poll(titles).toEqual(["newest", "middle", "oldest"]);
    expect(await press("Tab")).toBe("Mark all as read");
    expect(await press("Tab")).toBe("Close");
    expect(await press("Tab")).toBe("newest");
    expect(await press("Tab")).toBe("Mark as read");
    expect(await press("ArrowDown")).toBe("middle");
    expect(await press("End")).toBe("oldest");
    expect(await press("ArrowDown")).toBe("oldest");
    expect(await press("Home", "ArrowUp")).toBe("newest");
    // Without a link it is only read, and the panel stays.
    expect(await press("Enter")).toBe("newest");
    await expect.poll(async () => (await row("newest"))?.read_at).toBeTruthy();
    expect(await press("Tab")).toBe("Mark as unread");
    // Past the last button of the last one, the keyboard leaves, and what it goes to is not covered.
    expect(await press("End", "Tab", "Tab", "Tab", "Tab")).toBe("next");
    await panel.waitFor({ state: "hidden" });
  });
});

describe("a notification with a link", () => {
  inBrowser("leads there and is read, also if the page is left at once", async () => {
    const { notify, visit, row } = createRecipient();
    await notify("to the task", { link: "/tasks/7" });
    const { open, panel, page } = await visit();
    await open();
    await panel.getByRole("link", { name: "to the task" }).click();
    await page.waitForURL("**/tasks/7");
    await expect.poll(async () => (await row("to the task"))?.read_at).toBeTruthy();
  });

  inBrowser("can be opened by the page itself", async () => {
    const { notify, visit, row } = createRecipient();
    await notify("to the task", { link: "/tasks/7" });
    const script = `${KEEP_EVENTS} addEventListener("bell-click", (event) => event.preventDefault());`;
    const { open, panel, page } = await visit({ script });
    await open();
    await panel.getByRole("link", { name: "to the task" }).click();
    await panel.waitFor({ state: "hidden" });
    expect(page.url()).toBe(`${service().url}/page`);
    expect(await events(page)).toEqual([
      ["bell-open", undefined, undefined],
      ["bell-click", "to the task", `${service().url}/tasks/7`],
    ]);
    await expect.poll(async () => (await row("to the task"))?.read_at).toBeTruthy();
  });
});

describe("toasts", () => {
  inBrowser("show what comes, three at most, and go; an event tells each", async () => {
    const { notify, visit } = createRecipient();
    await notify("before");
    const { page, toasts } = await visit({
      script: KEEP_EVENTS,
      before: (page) => page.clock.install(),
    });
    await expect.poll(() => page.locator(".badge").textContent()).toBe("1");
    for (const title of ["1", "2", "3", "4"]) await notify(title);
    await expect.poll(() => toasts.locator(".title").allTextContents()).toEqual(["2", "3", "4"]);
    expect(await events(page)).toEqual(
      ["1", "2", "3", "4"].map((n) => ["bell-notification", n, undefined]),
    );
    await page.clock.fastForward(8000);
    await expect.poll(() => toasts.count()).toBe(0);
  });

  inBrowser("stay while the pointer or the keyboard is on them", async () => {
    const { notify, visit } = createRecipient();
    const { page, toasts } = await visit({ before: (page) => page.clock.install() });
    await page.locator(".dot[data-status=live]").first().waitFor();
    await notify("one");
    await notify("two");
    await expect.poll(() => toasts.count()).toBe(2);
    await toasts.first().hover();
    await page.clock.fastForward(30_000);
    await notify("three");
    await expect.poll(() => page.locator(".badge").textContent()).toBe("3");
    expect(await toasts.count()).toBe(2);
    await toasts.first().getByRole("button", { name: "Close" }).focus();
    await page.mouse.move(0, 0);
    await page.clock.fastForward(30_000);
    expect(await toasts.count()).toBe(2);
    await page.keyboard.press("Enter");
    await expect.poll(() => toasts.count()).toBe(1);
    expect(await focused(page)).toBe("two");
    await page.keyboard.press("Escape");
    expect(await focused(page)).toBe("Notifications: 3 unread");
    expect(await toasts.count()).toBe(0);
    // The last one that comes leaves by itself, soon after the pointer has left it.
    await notify("four");
    await toasts.first().hover();
    await page.clock.fastForward(30_000);
    await page.mouse.move(0, 0);
    await page.clock.fastForward(4000);
    await expect.poll(() => toasts.count()).toBe(0);
  });

  inBrowser("do not come while the panel is open, nor with toasts=off", async () => {
    const { notify, visit } = createRecipient();
    const { open, toasts, titles, host, page, region } = await visit();
    await notify("goes when the panel opens");
    await expect.poll(() => toasts.count()).toBe(1);
    await open();
    expect(await toasts.count()).toBe(0);
    await notify("into the list");
    await expect.poll(titles).toEqual(["into the list", "goes when the panel opens"]);
    await page.keyboard.press("Escape");
    await host.evaluate((bell) => bell.setAttribute("toasts", "off"));
    await hasText(region, "2 new notifications");
    await notify("off");
    await hasText(region, "off");
    expect(await toasts.count()).toBe(0);
  });

  inBrowser("go when the notification was seen in another page", async () => {
    const { notify, visit } = createRecipient();
    const { toasts, page } = await visit({ before: (page) => page.clock.install() });
    await page.locator(".dot[data-status=live]").first().waitFor();
    await notify("seen elsewhere");
    await expect.poll(() => toasts.count()).toBe(1);
    const other = await visit();
    await other.open();
    await expect.poll(() => toasts.count()).toBe(0);
  });

  inBrowser("go when the notification was deleted", async () => {
    const { notify, visit } = createRecipient();
    const { toasts, page } = await visit({ before: (page) => page.clock.install() });
    await page.locator(".dot[data-status=live]").first().waitFor();
    const id = await notify("gone");
    await notify("stays");
    await expect.poll(() => toasts.count()).toBe(2);
    await database().query("delete from bellwire.notifications where id = $1", [id]);
    await expect.poll(() => toasts.locator(".title").allTextContents()).toEqual(["stays"]);
  });
});

inBrowser("a burst is spoken once", async () => {
  const { notify, visit } = createRecipient();
  const { page, region, toasts } = await visit({ before: (page) => page.clock.install() });
  await page.locator(".dot[data-status=live]").first().waitFor();
  await region.evaluate((node) => {
    const spoken: string[] = [];
    Object.assign(globalThis, { spoken });
    new MutationObserver(() => spoken.push(node.textContent ?? "")).observe(node, {
      childList: true,
    });
  });
  await page.clock.pauseAt(Date.now() + 60_000);
  for (const title of ["one", "two", "three"]) {
    await notify(title);
    await toasts.getByText(title).waitFor();
    await page.clock.runFor(300);
  }
  await page.clock.runFor(1500);
  await notify("alone");
  await toasts.getByText("alone").waitFor();
  await page.clock.runFor(1500);
  expect(await region.evaluate("globalThis.spoken")).toEqual(["3 new notifications", "alone"]);
});

describe("the element", () => {
  inBrowser("speaks the page's language, and its own if it has one", async () => {
    const { notify, visit } = createRecipient();
    for (let i = 0; i < 3; i++) await notify("раз");
    const { button, host, open, panel } = await visit({ lang: "ru-RU" });
    const name = () => button.getAttribute("aria-label");
    await expect.poll(name).toBe("Уведомления: 3 непрочитанных");
    await open();
    expect(await panel.locator("time").first().textContent()).toBe("сейчас");
    await host.evaluate((bell) => bell.setAttribute("lang", "en"));
    await expect.poll(name).toBe("Notifications: 3 unread");
    await expect.poll(() => panel.locator("time").first().textContent()).toBe("now");
    await host.evaluate((bell) => {
      bell.setAttribute("lang", "de");
      Object.assign(bell, {
        texts: { notifications: "Mitteilungen", unreadCount: { other: "{count} neu" } },
      });
    });
    await expect.poll(name).toBe("Mitteilungen: 3 neu");
  });

  inBrowser(
    "makes texts by the page's templates; one that fails leaves the notification's own",
    async () => {
      const { notify, visit } = createRecipient();
      await notify("New message", { type: "message", body: "Hello", data: '{"from":"Anna"}' });
      await notify("kept", { type: "broken", body: "kept, too" });
      await notify("no template", { type: "constructor" });
      // Set before the script has come.
      const script = `addEventListener("DOMContentLoaded", () => {
      document.querySelector("notification-bell").templates = {
        message: ({ data }, language) => ({ title: data.from + " wrote (" + language + ")" }),
        broken: ({ data }) => ({ title: data.from.name }),
      };
    });`;
      const { open, titles, panel } = await visit({ script });
      await open();
      await expect.poll(titles).toEqual(["no template", "kept", "Anna wrote (en)"]);
      expect(await panel.locator(".body").allTextContents()).toEqual(["kept, too", "Hello"]);
    },
  );

  inBrowser("uses a getToken that is set when it is made, or later", async () => {
    const { notify, visit, id } = createRecipient();
    await notify("for a bearer");
    const { page, becomes, host } = await visit({ isSignedIn: false });
    await becomes("Signed out");
    const token = await service().token(id);
    await host.evaluate(
      (bell, token) => Object.assign(bell, { getToken: async () => token }),
      token,
    );
    await becomes("Connected");
    // Another function is not a reason to connect again.
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await host.evaluate(
      (bell, token) => Object.assign(bell, { getToken: async () => token }),
      token,
    );
    await notify("second");
    await expect.poll(() => page.locator(".badge").textContent()).toBe("2");
    expect(asked).toEqual([]);
    await page.evaluate((token) => {
      const bell = document.createElement("notification-bell");
      document.querySelector("notification-bell")?.replaceWith(bell);
      Object.assign(bell, { getToken: async () => token });
    }, token);
    await expect.poll(() => page.locator(".badge").textContent()).toBe("2");
    expect(asked.every((url) => !url.includes("/page"))).toBe(true);
  });

  inBrowser("goes on when it is moved in the page, and ends when it is taken out", async () => {
    const { notify, visit } = createRecipient();
    const { page, host } = await visit();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await host.evaluate((bell) => document.querySelector("h1")?.append(bell));
    await notify("after the move");
    await expect.poll(() => page.locator(".badge").textContent()).toBe("1");
    expect(asked).toEqual([]);
    await host.evaluate((bell) => {
      Object.assign(globalThis, { bell });
      bell.remove();
    });
    await expect.poll(streams).toBe(0);
    await page.evaluate("document.body.append(bell)");
    await expect.poll(() => page.locator(".badge").textContent()).toBe("1");
    await expect.poll(streams).toBe(1);
  });

  inBrowser(
    "connects to another url when the attribute changes, and says if it is none",
    async () => {
      const { notify, visit } = createRecipient();
      await notify("one");
      const { page, host, becomes, errors } = await visit();
      await page.route(/\/other\/api/, (route) =>
        route.fulfill({ status: 401, contentType: "application/problem+json", body: "{}" }),
      );
      await host.evaluate((bell) => bell.setAttribute("url", "/other/api/"));
      await becomes("Signed out");
      expect(errors).toEqual([]);
      await host.evaluate((bell) => bell.setAttribute("url", "http://["));
      await expect.poll(() => errors[0]).toContain('<notification-bell url="http://[">');
    },
  );

  inBrowser("may be in a page twice", async () => {
    const { notify, visit } = createRecipient();
    const html = "<notification-bell></notification-bell><notification-bell></notification-bell>";
    const { page } = await visit({ html });
    await notify("for both");
    const badges = page.locator(".badge");
    await expect.poll(() => badges.allTextContents()).toEqual(["1", "1"]);
    await expect.poll(streams).toBe(1);
    const second = page.locator("notification-bell").nth(1);
    await second.locator("button").first().click();
    await expect.poll(() => page.getByRole("dialog").count()).toBe(1);
    await page.locator("notification-bell").nth(0).locator("button").first().click();
    await expect.poll(() => second.getByRole("dialog").count()).toBe(0);
    expect(await page.getByRole("dialog").count()).toBe(1);
  });
});

/** Open ones of the service. Each test closes its pages, and the service notices. */
async function streams(): Promise<number> {
  const text = await (await fetch(service().metricsUrl)).text();
  return Number(/^bellwire_streams (\d+)$/m.exec(text)?.[1]);
}
