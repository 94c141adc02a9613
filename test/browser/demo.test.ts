import { type BrowserContextOptions, chromium, type Locator, type Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { createDatabase } from "../support/database.ts";
import { startService } from "../support/service.ts";
import { LAUNCH, testInBrowser } from "./support/chromium.ts";

/** Without the endless animation of the page, and with few pixels: both cost a processor without a GPU. */
const CHEAP: BrowserContextOptions = {
  reducedMotion: "reduce",
  viewport: { width: 800, height: 600 },
};

const MESSAGE = "insert into messages (sender_id, recipient_id, body) values (1, 2, $1)";

const inBrowser = testInBrowser("the demo");

inBrowser(
  "a message written by plain SQL rings its recipient's bell, and nobody else's",
  async () => {
    const { database, service, openPage } = await openDemo();
    const boris = await openPage(`${service.url}/?as=2`);
    const clara = await openPage(`${service.url}/?as=3`);
    await Promise.all([isLive(boris), isLive(clara)]);

    await database.query(MESSAGE, ["Is the <b>bicycle</b> ready?"]);
    await boris.locator(".toast", { hasText: "Is the <b>bicycle</b> ready?" }).waitFor();
    await hasText(badge(boris), "1");
    expect(await rows(boris).count()).toBe(1);

    // The second message arrives, which shows that the first one did not.
    await database.query(MESSAGE.replace("(1, 2", "(1, 3"), ["For Clara"]);
    await clara.locator(".toast", { hasText: "For Clara" }).waitFor();
    expect(await rows(clara).count()).toBe(1);
  },
);

inBrowser("marking read in one tab clears the badge in the other", async () => {
  const { database, service, openPage } = await openDemo();
  await database.query(MESSAGE, ["One"]);
  const first = await openPage(`${service.url}/?as=2`);
  const second = await openPage(`${service.url}/?as=2`);
  await Promise.all([isLive(first), isLive(second), hasText(badge(second), "1")]);

  await rows(first).first().click();
  await Promise.all([badge(first).waitFor({ state: "hidden" }), unreadIs(first, 0)]);
  await Promise.all([badge(second).waitFor({ state: "hidden" }), unreadIs(second, 0)]);

  await database.query(MESSAGE, ["Two"]);
  await database.query(MESSAGE, ["Three"]);
  await hasText(badge(first), "2");
  await rows(second).nth(2).waitFor();
  await second.locator("#mark-all").click();
  await Promise.all([badge(first).waitFor({ state: "hidden" }), unreadIs(first, 0)]);
});

inBrowser(
  "a notification that is deleted or given to another recipient leaves the page, and arrives at the other recipient's",
  async () => {
    const { database, service, openPage } = await openDemo();
    for (const body of ["Deleted", "Given away", "Kept"]) await database.query(MESSAGE, [body]);
    const boris = await openPage(`${service.url}/?as=2`);
    const clara = await openPage(`${service.url}/?as=3`);
    await Promise.all([isLive(boris), isLive(clara), hasText(badge(boris), "3")]);
    await database.query("delete from bellwire.notifications where body = 'Deleted'");
    await hasText(badge(boris), "2");
    await database.query(
      "update bellwire.notifications set recipient_id = '3' where body = 'Given away'",
    );
    await Promise.all([hasText(badge(boris), "1"), hasText(badge(clara), "1")]);
    await rows(clara).filter({ hasText: "Given away" }).waitFor();
    expect(await boris.locator(".notification-body").allTextContents()).toEqual(["Kept"]);
  },
);

inBrowser(
  "notifications written while the service is down are shown once when it is up again",
  async () => {
    const { database, service, openPage } = await openDemo();
    const page = await openPage(`${service.url}/?as=2`);
    await isLive(page);
    await database.query(MESSAGE, ["Before"]);
    await rows(page).nth(0).waitFor();

    await service.close();
    await page.locator('#connection:not([data-state="live"])').waitFor();
    await database.query(MESSAGE, ["During, first"]);
    await database.query(MESSAGE, ["During, second"]);
    await startAgain(database.url, service.url);

    await isLive(page);
    await page.locator(".toast", { hasText: "During, second" }).waitFor();
    await database.query(MESSAGE, ["After"]);
    await rows(page).nth(3).waitFor();
    expect(await page.locator(".notification-body").allTextContents()).toEqual([
      "After",
      "During, second",
      "During, first",
      "Before",
    ]);
    await hasText(badge(page), "4");
  },
);

inBrowser("a button shows the SQL it wrote, and the bell rings", async () => {
  const { service, openPage } = await openDemo();
  const page = await openPage(`${service.url}/?as=2`);
  await isLive(page);
  await page.locator("#panel textarea").fill("It's me");
  await page.getByRole("button", { name: "Send message" }).click();
  await page.locator(".toast", { hasText: "It's me" }).waitFor();
  await page.locator("#sql", { hasText: "It''s me" }).waitFor();
  expect(await page.locator("#sql").textContent()).toBe(
    "insert into messages (sender_id, recipient_id, body)\nvalues (1, 2, 'It''s me');",
  );
});

inBrowser(
  "the page uses the browser's language until another is chosen, and remembers the choice",
  async () => {
    const { service, openPage } = await openDemo();
    const page = await openPage(`${service.url}/?as=2`, { locale: "ru-RU" });
    await page.locator("html[lang=ru] #connection", { hasText: "На связи" }).waitFor();
    await page.getByRole("button", { name: "English" }).click();
    await page.locator("html[lang=en] #connection", { hasText: "Live" }).waitFor();
    await page.getByRole("button", { name: "Русский" }).click();
    await page.getByRole("heading", { name: "Колокольчик", exact: true }).waitFor();
    await page.reload();
    await page.locator("html[lang=ru] #connection", { hasText: "На связи" }).waitFor();
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

const badge = (page: Page) => page.locator("#badge");
const rows = (page: Page) => page.locator(".notification");
const isLive = (page: Page) => page.locator('#connection[data-state="live"]').waitFor();
const hasText = (locator: Locator, text: string) =>
  locator.filter({ hasText: new RegExp(`^${text}$`) }).waitFor();
const unreadIs = (page: Page, count: number) =>
  expect.poll(() => page.locator(".notification[data-unread]").count()).toBe(count);
