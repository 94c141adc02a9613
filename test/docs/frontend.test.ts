import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { describe, expect, onTestFinished, test } from "vitest";
import { LAUNCH, testInBrowser } from "../browser/support/chromium.ts";
import { type Asked, startFront } from "../browser/support/front.ts";
import { createDatabase } from "../support/database.ts";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { startService } from "../support/service.ts";

const inBrowser = testInBrowser("the recipes of docs/frontend.md and README.md");

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string) => readFileSync(pathOf(path), "utf8");

/** The only example in this language under a heading. */
function exampleOf(file: string, heading: string, language: string): string {
  const [, section = ""] = read(file).split(`\n## ${heading}\n`);
  const examples = [
    ...(section.split("\n## ")[0] ?? "").matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm),
  ].filter(([, name]) => name === language);
  expect(examples, `${file}, "${heading}"`).toHaveLength(1);
  return examples[0]?.[2] ?? "";
}

const recipe = (heading: string, language = "html") =>
  exampleOf("docs/frontend.md", heading, language);

/** A service with one recipient, who has one notification, behind a front of many hosts. */
async function open(env: (origin: (host: string) => string) => Record<string, string>) {
  const database = await createDatabase();
  onTestFinished(database.close);
  const front = await startFront();
  const service = await startService({ databaseUrl: database.url, env: env(front.origin) });
  front.pointTo(service.url);
  const notify = (title: string) =>
    database.query("select bellwire.notify('1', 'note', title => $1)", [title]);
  await notify("before");
  const browser = await chromium.launch(LAUNCH);
  onTestFinished(() => browser.close());
  const context = await browser.newContext();
  const signIn = async (url: string, cookie: object = { url }) =>
    context.addCookies([{ name: "bell", value: await service.token("1"), ...cookie }]);
  return { front, service, notify, context, database, signIn };
}

type Front = Awaited<ReturnType<typeof startFront>>;

/** A page with this body, which the front serves. The application's other routes are in `answers`. */
async function visit(
  { context, front }: { context: BrowserContext; front: Front },
  origin: string,
  body: string,
  { headers = {}, answers = {} }: Visit = {},
): Promise<Page> {
  const page = await context.newPage();
  const problems: unknown[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (line) => {
    if (/Content Security Policy|Trusted/.test(line.text())) problems.push(line.text());
  });
  onTestFinished(() => expect(problems).toEqual([]));
  const html = `<!doctype html><html lang="en"><title>Shop</title><body>${body}`;
  // Not by `page.route`: Chromium would take the page for one of the internet, which may not call 127.0.0.1.
  front.serve("/shop", { headers, body: html });
  for (const [path, answer] of Object.entries(answers))
    await page.route(origin + path, async (route) => route.fulfill(await answer()));
  await page.goto(`${origin}/shop`);
  return page;
}

interface Visit {
  headers?: Record<string, string>;
  answers?: Record<string, () => Promise<{ status?: number; json?: unknown }>>;
}

const badge = (page: Page) => page.locator(".badge").textContent();
const status = (page: Page) =>
  page.locator("notification-bell button").first().getAttribute("title");

/** The bell is connected, has what was there before, and shows what comes. */
async function expectBell(page: Page, notify: (title: string) => Promise<unknown>) {
  await expect.poll(() => status(page)).toBe("Connected");
  await expect.poll(() => badge(page)).toBe("1");
  await notify("live");
  await expect.poll(() => badge(page)).toBe("2");
  await page.locator(".toast").getByText("live").waitFor();
}

describe("the two lines", () => {
  const twoLines = recipe("On your own site");

  test("are two, and those of README.md", () => {
    expect(twoLines.trim().split("\n")).toHaveLength(2);
    expect(exampleOf("README.md", "In your front end", "html")).toBe(twoLines);
  });

  const behindNginx = hasNginx ? inBrowser : test.skip;
  behindNginx("are a bell behind nginx with deploy/nginx/bellwire.conf", async () => {
    const shop = await open(() => ({ JWT_COOKIE: "bell" }));
    const { url } = await startNginx({
      locations: `${read("deploy/nginx/bellwire.conf")} location = /shop { proxy_pass ${shop.front.origin("127.0.0.1")}; }`,
      http: `upstream bellwire { server ${new URL(shop.service.url).host}; keepalive 64; }`,
    });
    await shop.signIn(url);
    await expectBell(await visit(shop, url, twoLines), shop.notify);
  });
});

describe("on another origin", () => {
  const withToken = recipe("On another origin, with a token");

  inBrowser("the bell gets its token from the page, with the policy of the page", async () => {
    const opened = await open((origin) => ({ ALLOWED_ORIGINS: origin("shop.localhost") }));
    const { front, service, notify, database } = opened;
    const [bell, shop] = [front.origin("bell.localhost"), front.origin("shop.localhost")];
    let signedIn = false;
    const token = async () =>
      signedIn ? { json: { token: await service.token("1") } } : { status: 401 };
    const [policy = ""] = [recipe("Content security policy", "")];
    // The page's own inline script and its request for the token.
    const csp = policy
      .trim()
      .replaceAll("https://bell.example", bell)
      .replace("script-src", "script-src 'unsafe-inline'")
      .replace("connect-src", "connect-src 'self'");
    const page = await visit(opened, shop, withToken.replaceAll("https://bell.example", bell), {
      headers: { "content-security-policy": csp },
      answers: { "/api/bell-token": token },
    });
    await expect.poll(() => status(page)).toBe("Signed out");
    signedIn = true;
    await page.evaluate("document.querySelector('notification-bell').reconnect()");
    await expectBell(page, notify);
    const paths = front.asked.map(({ path }) => path);
    expect(paths.some((path) => path.includes("/stream"))).toBe(true);
    expect(front.asked.every(({ headers }) => headers.cookie === undefined)).toBe(true);
    await page.locator("notification-bell button").first().click();
    await expect
      .poll(() => database.query("select id from bellwire.notifications where seen_at is null"))
      .toEqual([]);
  });

  inBrowser("the bell uses a cookie of the site, which a neighbour's page cannot", async () => {
    const opened = await open((origin) => ({
      ALLOWED_ORIGINS: origin("www.shop.localhost"),
      JWT_COOKIE: "bell",
    }));
    const { front, notify, signIn } = opened;
    const [, attributes = ""] =
      /bell=<token>; Domain=shop\.example; (.*)/.exec(
        recipe("On another origin, with cookies", ""),
      ) ?? [];
    expect(attributes).toBe("Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=900");
    const body = recipe("On another origin, with cookies").replaceAll(
      "https://bell.shop.example",
      front.origin("bell.shop.localhost"),
    );
    const cookie = { domain: ".shop.localhost", path: "/", secure: true, httpOnly: true };
    await signIn("", { ...cookie, sameSite: "Lax" });
    await expectBell(await visit(opened, front.origin("www.shop.localhost"), body), notify);
    const blog = front.origin("blog.shop.localhost");
    const neighbour = await visit(opened, blog, body);
    const refused = ({ headers, status }: Asked) => headers.origin === blog && status === 403;
    await expect.poll(() => front.asked.filter(refused).length).toBeGreaterThan(0);
    // Its browser does not let it see the status.
    expect(await status(neighbour)).toBe("Connecting…");
    expect(await neighbour.locator(".badge").isVisible()).toBe(false);
  });
});

describe("React", () => {
  /** The component, rendered by React 19 in StrictMode. */
  function bundle(component: string, element: string): string {
    const [output] = buildSync({
      stdin: {
        contents: `${component}
          import { StrictMode } from "react";
          import { createRoot } from "react-dom/client";
          createRoot(document.body).render(<StrictMode>${element}</StrictMode>);`,
        loader: "tsx",
        resolveDir: pathOf("."),
      },
      alias: {
        "@bellwire/react": pathOf("packages/react/src/react.ts"),
        "@bellwire/client": pathOf("packages/client/src/bell.ts"),
      },
      jsx: "automatic",
      define: { "process.env.NODE_ENV": '"development"' },
      bundle: true,
      format: "esm",
      write: false,
    }).outputFiles;
    return `<script type="module">${output?.text.replaceAll("</script", "<\\/script")}</script>`;
  }

  const list = (page: Page) => page.locator("li").allTextContents();

  inBrowser("the component for Next.js shows the inbox and marks as read", async () => {
    const opened = await open((origin) => ({ ALLOWED_ORIGINS: origin("shop.localhost") }));
    const { front, service, notify } = opened;
    const source = recipe("In Next.js", "tsx").replaceAll(
      "https://bell.example",
      front.origin("bell.localhost"),
    );
    const body = bundle(source, '<Bell userId="1" />');
    const page = await visit(opened, front.origin("shop.localhost"), body, {
      answers: { "/api/bell-token": async () => ({ json: { token: await service.token("1") } }) },
    });
    await page.locator("summary").click();
    await expect.poll(() => list(page)).toEqual(["before"]);
    await notify("live");
    await expect.poll(() => list(page)).toEqual(["live", "before"]);
    await expect.poll(() => page.locator("summary").textContent()).toBe("Inbox (2)");
    await page.getByRole("button", { name: "live" }).click();
    await expect.poll(() => page.locator("summary").textContent()).toBe("Inbox (1)");
    expect(await page.locator("li b").allTextContents()).toEqual(["before"]);
    expect(await list(page)).toEqual(["live", "before"]);
  });

  const lines = exampleOf("README.md", "In your front end", "jsx");

  test("has at most eight lines in README.md", () => {
    expect(lines.trim().split("\n").filter(Boolean).length).toBeLessThanOrEqual(8);
  });

  inBrowser("the lines of README.md show the inbox", async () => {
    const opened = await open(() => ({ JWT_COOKIE: "bell" }));
    const { front, notify, signIn } = opened;
    const origin = front.origin("shop.localhost");
    await signIn(origin);
    const page = await visit(opened, origin, bundle(lines, "<Bell />"));
    await expect.poll(() => list(page)).toEqual(["before"]);
    await notify("live");
    await expect.poll(() => list(page)).toEqual(["live", "before"]);
    await expect.poll(() => page.locator("summary").textContent()).toContain("2");
  });
});

inBrowser("a page that only polls opens no stream, and has what comes at once", async () => {
  const opened = await open(() => ({ JWT_COOKIE: "bell" }));
  const { front, notify, signIn } = opened;
  const origin = front.origin("shop.localhost");
  await signIn(origin);
  const page = await visit(opened, origin, recipe("Polling only"));
  const rang: string[] = [];
  page.on("console", (line) => line.type() === "log" && rang.push(line.text()));
  const unread = () => page.locator("#unread").textContent();
  await expect.poll(unread).toBe("1");
  const waits = () => front.asked.filter(({ path }) => path.includes("wait=20")).length;
  await expect.poll(waits).toBe(1);
  await notify("live");
  // A poll that had to end first would take longer than this waits.
  await expect.poll(unread, { timeout: 10_000 }).toBe("2");
  expect(rang).toEqual(["live"]);
  expect(front.asked.filter(({ path }) => path.includes("/stream"))).toEqual([]);
});

test("every recipe is run by a test of this file", () => {
  const own = readFileSync(fileURLToPath(import.meta.url), "utf8");
  for (const section of read("docs/frontend.md").split("\n## ").slice(1)) {
    const [heading] = section.split("\n");
    if (section.includes("```")) expect(own).toContain(`"${heading}"`);
  }
});
