import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
} from "playwright-core";
import { beforeAll, expect, onTestFinished } from "vitest";
import { LAUNCH } from "../../../../test/browser/support/chromium.ts";
import { createDatabase, type TestDatabase } from "../../../../test/support/database.ts";
import { openService, type Service } from "../../../../test/support/service.ts";

export interface Visit extends BrowserContextOptions {
  /** The page's body. */
  html?: string;
  lang?: string;
  /** Runs before the bell's script. */
  script?: string;
  headers?: Record<string, string>;
  isSignedIn?: boolean;
  /** Answers for the service, before the page is opened. */
  before?: (page: Page) => Promise<unknown>;
}

/** A policy that allows no inline style, and scripts only from the page's own origin. */
export const STRICT_CSP = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; require-trusted-types-for 'script'",
};

let recipients = 0;

/** One service and one browser for the tests of a file. The pages are the service's own, with its `/bellwire.js`. */
export function usePages() {
  let database: TestDatabase;
  let service: Service;
  let browser: Browser;

  beforeAll(async () => {
    database = await createDatabase();
    service = await openService({ databaseUrl: database.url, env: { JWT_COOKIE: "session" } });
    browser = await chromium.launch(LAUNCH);
    return async () => {
      await browser.close();
      await service.close();
      await database.close();
    };
  });

  /** A recipient of this test's own. */
  function createRecipient() {
    const id = `recipient ${++recipients}`;
    return {
      id,
      async notify(title: string | null, fields: Record<string, unknown> = {}): Promise<string> {
        const { type = "note", ...others } = fields;
        const names = Object.keys(others).map((name, index) => `, ${name} => $${index + 4}`);
        const [row] = await database.query<{ id: string }>(
          `select bellwire.notify($1, $2, title => $3${names.join("")})::text as id`,
          [id, type, title, ...Object.values(others)],
        );
        return row?.id ?? "";
      },
      async row(title: string): Promise<Record<string, unknown> | undefined> {
        const sql = "select * from bellwire.notifications where recipient_id = $1 and title = $2";
        const [found] = await database.query<Record<string, unknown>>(sql, [id, title]);
        return found;
      },

      /** A page with a bell of this recipient's, which is live unless `before` prevents it. */
      async visit(options: Visit = {}) {
        const { html = "<notification-bell></notification-bell>", lang = "en" } = options;
        const { script = "", headers = {}, isSignedIn = true, before, ...context } = options;
        const opened = await browser.newContext({ reducedMotion: "reduce", ...context });
        onTestFinished(() => opened.close());
        const session = { name: "session", value: await service.token(id), url: service.url };
        if (isSignedIn) await opened.addCookies([session]);
        const page = await opened.newPage();
        const errors: string[] = [];
        page.on("pageerror", (error) => errors.push(error.message));
        page.on("console", (line) => {
          if (/Content Security Policy|TrustedHTML/.test(line.text())) errors.push(line.text());
        });
        const body = `<!doctype html><html lang="${lang}"><meta name="viewport" content="width=device-width"><title>Shop</title>
          ${script && `<script>${script}</script>`}<script type="module" src="/bellwire.js"></script>
          <main><h1>Shop</h1>${html}</main></html>`;
        await page.route(/\/(page|tasks)\b/, (route) =>
          route.fulfill({ contentType: "text/html; charset=utf-8", headers, body }),
        );
        await before?.(page);
        await page.goto(`${service.url}/page`);
        const bell = bellOf(page);
        if (isSignedIn && !before) await bell.becomes("Connected", "На связи");
        return { page, errors, ...bell };
      },
    };
  }

  return { createRecipient, service: () => service, database: () => database };
}

/** What a test does with the first bell of a page. */
function bellOf(page: Page) {
  const host = page.locator("notification-bell").first();
  const button = host.locator("button").first();
  const panel = host.getByRole("dialog");
  const toasts = host.locator(".toast");
  return {
    host,
    button,
    panel,
    toasts,
    items: panel.locator("article"),
    region: host.locator("[aria-live]"),
    becomes: (...status: string[]) =>
      expect.poll(() => button.getAttribute("title")).toBeOneOf(status),
    async open(): Promise<void> {
      await button.click();
      await panel.waitFor();
    },
    titles: () => panel.locator(".title").allTextContents(),
  };
}

/** The text of the element that has the focus, also in a shadow tree. */
export const focused = (page: Page): Promise<string> =>
  page.evaluate(`(() => {
    const focused = document.activeElement.shadowRoot?.activeElement ?? document.activeElement;
    return focused.getAttribute("aria-label") ?? focused.getAttribute("role") ?? focused.textContent;
  })()`) as Promise<string>;

export const hasText = (locator: Locator, text: string) =>
  expect.poll(() => locator.textContent()).toBe(text);
