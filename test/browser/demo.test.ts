import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type BrowserContextOptions, chromium, type Locator, type Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { createDatabase } from "../support/database.ts";
import { startService } from "../support/service.ts";
import { LAUNCH, testInBrowser } from "./support/chromium.ts";

/** Without animations, and with few pixels: both cost a processor without a GPU. */
const CHEAP: BrowserContextOptions = {
  reducedMotion: "reduce",
  viewport: { width: 800, height: 600 },
};

const MESSAGE = "insert into messages (sender_id, recipient_id, body) values (1, 2, $1)";
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** With the rules that axe has but does not run by itself, as that the name of a button has its visible text. */
const RUN_AXE = `axe.run(document, { rules: {
    "label-content-name-mismatch": { enabled: true }, "target-size": { enabled: true },
  } }).then(({ violations }) => violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]))`;

const inBrowser = testInBrowser("the demo");

inBrowser(
  "a message written by plain SQL rings its recipient's bell, and nobody else's",
  async () => {
    const { database, service, openPage } = await openDemo();
    const boris = await openPage(`${service.url}/?as=2`);
    const clara = await openPage(`${service.url}/?as=3`);
    await Promise.all([isLive(boris), isLive(clara)]);

    await database.query(MESSAGE, ["Is the <b>bicycle</b> ready?"]);
    await toast(boris, "Is the <b>bicycle</b> ready?").waitFor();
    await hasUnread(boris, 1);

    // The second message arrives, which shows that the first one did not.
    await database.query(MESSAGE.replace("(1, 2", "(1, 3"), ["For Clara"]);
    await toast(clara, "For Clara").waitFor();
    await hasUnread(clara, 1);
  },
);

inBrowser("two tabs of one browser show the bells of two users", async () => {
  const { database, service, openPage } = await openDemo();
  const boris = await openPage(`${service.url}/?as=2`);
  const other = boris.context().waitForEvent("page");
  await boris.getByRole("link", { name: "Open Anna’s bell in a new tab" }).click();
  const anna = await other;
  await Promise.all([isLive(boris), isLive(anna)]);
  await anna.getByRole("heading", { name: "Anna’s bell" }).waitFor();
  await database.query(MESSAGE, ["For Boris"]);
  await database.query(MESSAGE.replace("(1, 2", "(3, 1"), ["For Anna"]);
  await Promise.all([toast(boris, "For Boris").waitFor(), toast(anna, "For Anna").waitFor()]);
  await Promise.all([hasUnread(boris, 1), hasUnread(anna, 1)]);
});

inBrowser("another user is chosen in the same tab, and only that user's bell is left", async () => {
  const { database, service, openPage } = await openDemo();
  await database.query(MESSAGE, ["For Boris"]);
  const page = await openPage(`${service.url}/?as=2`);
  await hasUnread(page, 1);
  await page.locator("#user").selectOption("Clara");
  await isLive(page);
  await hasUnread(page, 0);
  await database.query(MESSAGE.replace("(1, 2", "(1, 3"), ["For Clara"]);
  await toast(page, "For Clara").waitFor();
  await openBell(page);
  expect(await titles(page)).toEqual(["Anna sent you a message"]);
  await page.reload();
  await page.getByRole("heading", { name: "Clara’s bell" }).waitFor();
});

inBrowser(
  "a notification that is deleted or given to another recipient leaves the page, and arrives at the other recipient's",
  async () => {
    const { database, service, openPage } = await openDemo();
    for (const body of ["Deleted", "Given away", "Kept"]) await database.query(MESSAGE, [body]);
    const boris = await openPage(`${service.url}/?as=2`);
    const clara = await openPage(`${service.url}/?as=3`);
    await Promise.all([isLive(boris), isLive(clara), hasUnread(boris, 3)]);
    await database.query("delete from bellwire.notifications where body = 'Deleted'");
    await hasUnread(boris, 2);
    await database.query(
      "update bellwire.notifications set recipient_id = '3' where body = 'Given away'",
    );
    await Promise.all([hasUnread(boris, 1), hasUnread(clara, 1)]);
    await Promise.all([openBell(boris), openBell(clara)]);
    await expect.poll(() => bodies(clara)).toEqual(["Given away"]);
    expect(await bodies(boris)).toEqual(["Kept"]);
  },
);

inBrowser(
  "notifications written while the service is down are shown once when it is up again",
  async () => {
    const { database, service, openPage } = await openDemo();
    const page = await openPage(`${service.url}/?as=2`);
    await isLive(page);
    await openBell(page);
    await database.query(MESSAGE, ["Before"]);
    await expect.poll(() => bodies(page)).toEqual(["Before"]);

    await service.close();
    await page.locator('.bell .dot:not([data-status="live"])').waitFor();
    await database.query(MESSAGE, ["During, first"]);
    await database.query(MESSAGE, ["During, second"]);
    await startAgain(database.url, service.url);

    await isLive(page);
    await database.query(MESSAGE, ["After"]);
    await expect
      .poll(() => bodies(page))
      .toEqual(["After", "During, second", "During, first", "Before"]);
    await hasUnread(page, 4);
  },
);

inBrowser(
  "a button shows the SQL that it wrote and how fast the bell rang, all of it above the fold of 1280 × 800",
  async () => {
    const { service, openPage } = await openDemo();
    const page = await openPage(`${service.url}/?as=2`, { viewport: DESKTOP });
    await isLive(page);
    await page.locator("#panel textarea").fill("It's me");
    await page.getByRole("button", { name: "Send message" }).click();
    await toast(page, "It's me").waitFor();
    await page.locator("#sql", { hasText: "It''s me" }).waitFor();
    expect(await page.locator("#sql").textContent()).toBe(
      "insert into messages (sender_id, recipient_id, body)\nvalues (1, 2, 'It''s me');",
    );
    await page.locator("#latency", { hasText: /^\d+ ms$/ }).waitFor();
    expect(await page.evaluate("scrollY")).toBe(0);
    const [form, sql, note] = await Promise.all(
      ["#panel", "#sql", "#sql-note"].map((selector) => box(page.locator(selector))),
    );
    for (const shown of [form, sql, note]) expect(shown?.bottom).toBeLessThan(DESKTOP.height);

    // The open bell is beside them, not on them.
    await openBell(page);
    const panel = await box(page.getByRole("dialog"));
    for (const shown of [form, sql, note]) expect(shown?.right).toBeLessThanOrEqual(panel.left);
  },
);

inBrowser("on a phone no toast covers the open bell", async () => {
  const { database, service, openPage } = await openDemo();
  const phone = { viewport: PHONE, isMobile: true, hasTouch: true };
  const page = await openPage(`${service.url}/?as=2`, phone);
  await isLive(page);
  await database.query(MESSAGE, ["Before"]);
  await toast(page, "Before").waitFor();
  await openBell(page);
  await database.query(MESSAGE, ["Meanwhile"]);
  await expect.poll(() => bodies(page)).toEqual(["Meanwhile", "Before"]);
  expect(await page.locator(".toast").count()).toBe(0);
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(PHONE.width);
});

inBrowser(
  "a notification's link opens no page, because the demo has none, and says so",
  async () => {
    const { database, service, openPage } = await openDemo();
    const page = await openPage(`${service.url}/?as=2`);
    await database.query(MESSAGE, ["Hello"]);
    await hasUnread(page, 1);
    await openBell(page);
    await page.getByRole("link", { name: "Anna sent you a message" }).click();
    await page.getByText("Your application opens /messages/1 here.").waitFor();
    expect(page.url()).toBe(`${service.url}/?as=2`);
    await hasUnread(page, 0);
  },
);

inBrowser(
  "the page uses the browser's language until another is chosen, and remembers the choice",
  async () => {
    const { service, openPage } = await openDemo();
    const page = await openPage(`${service.url}/?as=2`, { locale: "ru-RU" });
    await page.getByRole("button", { name: "Уведомления: 0" }).waitFor();
    await page.getByRole("button", { name: "EN, English" }).click();
    await page.getByRole("button", { name: "Notifications: 0" }).waitFor();
    await page.getByRole("button", { name: "RU, Русский" }).click();
    await page.getByRole("heading", { name: "Колокольчик: Boris" }).waitFor();
    await page.reload();
    await page.getByRole("button", { name: "Уведомления: 0" }).waitFor();
    await page.locator("html[lang=ru]").waitFor();
  },
);

/** Each makes one notification for Boris, who is user 2. */
const FOR_BORIS: [english: string, russian: string, write: string][] = [
  [
    "Anna sent you a message",
    "Anna: новое сообщение",
    "insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello')",
  ],
  [
    'Anna chose you for "A logo for a bakery"',
    "Anna поручает вам «A logo for a bakery»",
    "update tasks set executor_id = 2, status = 'in_progress' where id = 1",
  ],
  [
    'Anna wrote in "A logo for a bakery"',
    "Anna: сообщение в «A logo for a bakery»",
    "insert into messages (sender_id, task_id, body) values (1, 1, 'Hello')",
  ],
  [
    'Task "A logo for a bakery" was completed',
    "Задание «A logo for a bakery» завершено",
    "update tasks set status = 'completed' where id = 1",
  ],
  [
    "Anna reviewed you: 5 of 5",
    "Anna: отзыв о вас, 5 из 5",
    "insert into reviews (task_id, author_id, recipient_id, rating) values (1, 1, 2, 5)",
  ],
  [
    'Anna rejected your response to "Translate a contract into English"',
    "Anna: ваш отклик на «Translate a contract into English» отклонён",
    `insert into responses (task_id, user_id) values (2, 2);
     update responses set status = 'rejected' where user_id = 2`,
  ],
  [
    "Clara wants to hire you",
    "Clara предлагает вам задание",
    "insert into hire_requests (customer_id, executor_id) values (3, 2)",
  ],
  [
    'Task "Mow the lawn" was cancelled',
    "Задание «Mow the lawn» отменено",
    `insert into tasks (customer_id, title) values (2, 'Mow the lawn');
     update tasks set status = 'cancelled' where title = 'Mow the lawn'`,
  ],
  [
    'David responded to "Paint the fence"',
    "David: отклик на «Paint the fence»",
    `insert into tasks (customer_id, title) values (2, 'Paint the fence');
     insert into responses (task_id, user_id) select id, 4 from tasks where title = 'Paint the fence'`,
  ],
  [
    "David accepted your hire request",
    "David: предложение принято",
    `insert into hire_requests (customer_id, executor_id) values (2, 4);
     update hire_requests set status = 'accepted' where executor_id = 4`,
  ],
];

inBrowser("titles say who, in the page's language", async () => {
  const { database, service, openPage } = await openDemo();
  for (const [, , write] of FOR_BORIS) await database.query(write);
  // One of a rule that had no names yet keeps its own title.
  await database.query(
    `select bellwire.notify('2', 'message.received', title => 'New message', data => '{"messageId": 1}')`,
  );
  const page = await openPage(`${service.url}/?as=2`);
  await openBell(page);
  const expected = (language: 0 | 1) =>
    ["New message", ...FOR_BORIS.map((texts) => texts[language]).toReversed()].join("\n");
  await expect.poll(async () => (await titles(page)).join("\n")).toBe(expected(0));
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "RU, Русский" }).click();
  await openBell(page);
  await expect.poll(async () => (await titles(page)).join("\n")).toBe(expected(1));
});

inBrowser(
  "axe finds nothing: light, dark, phone, English, Russian; bell closed and open",
  async () => {
    const { database, service, openPage } = await openDemo();
    const page = await openPage(`${service.url}/?as=2`);
    await page.evaluate(AXE);
    await isLive(page);
    const states = ["en", "ru"].flatMap((language) =>
      (["light", "dark"] as const).flatMap((colorScheme) =>
        [DESKTOP, PHONE].map((viewport) => ({ language, colorScheme, viewport })),
      ),
    );
    for (const { language, colorScheme, viewport } of states) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      await page.locator(`[data-language=${language}]`).click();
      const state = `${language}, ${colorScheme}, ${viewport.width}`;
      await database.query(MESSAGE, [state]);
      await toast(page, state).waitFor();
      expect(await page.evaluate(RUN_AXE), state).toEqual([]);
      await openBell(page);
      expect(await page.evaluate(RUN_AXE), `${state}, open`).toEqual([]);
      await page.keyboard.press("Escape");
    }
    for (const kind of await page.locator("#kinds input").all()) {
      await kind.check();
      expect(await page.evaluate(RUN_AXE), `form ${await kind.getAttribute("value")}`).toEqual([]);
    }
  },
);

async function openDemo() {
  const database = await createDatabase();
  onTestFinished(() => database.close());
  const service = await startService({ databaseUrl: database.url, demo: true });
  onTestFinished(() => service.close());
  const browser = await chromium.launch(LAUNCH);
  onTestFinished(() => browser.close());

  /** Each page has its own profile. A script error or a CSP violation fails the test. */
  async function openPage(url: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ ...CHEAP, locale: "en-US", ...options });
    const page = await context.newPage();
    const errors: unknown[] = [];
    page.on("pageerror", (error) => errors.push(error));
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) errors.push(message.text());
    });
    onTestFinished(() => expect(errors).toEqual([]));
    await page.goto(url);
    return page;
  }
  return { database, service, openPage };
}

/** A restart: the same database behind the same URL. */
async function startAgain(databaseUrl: string, url: string) {
  const port = Number(new URL(url).port);
  const service = await startService({ databaseUrl, demo: true, port });
  onTestFinished(() => service.close());
}

const isLive = (page: Page) => page.locator(".bell .dot[data-status=live]").waitFor();
const toast = (page: Page, hasText: string) => page.locator(".toast", { hasText });
const titles = (page: Page) => page.getByRole("dialog").locator(".title").allTextContents();
const bodies = (page: Page) => page.getByRole("dialog").locator(".body").allTextContents();
const hasUnread = (page: Page, count: number) =>
  page.getByRole("button", { name: `Notifications: ${count} unread` }).waitFor();

async function openBell(page: Page) {
  await page.locator("notification-bell .bell").click();
  await page.getByRole("dialog").waitFor();
}

async function box(locator: Locator) {
  const { x = NaN, y = NaN, width = NaN, height = NaN } = (await locator.boundingBox()) ?? {};
  return { left: x, right: x + width, bottom: y + height };
}
