import "./bundle.js";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { startApp } from "../src/app/app.ts";
import { readConfig } from "../src/config.ts";
import { createMinter } from "../src/http/auth/sign.ts";
import { createLogger } from "../src/logger.ts";

/**
 * Makes the pictures of the bell in docs/pictures, and docs/demo.png: `npx tsx scripts/pictures.ts`. They show a page of the example marketplace with the two lines of
 * docs/frontend.md, in Chromium, and notifications that its rules made of plain SQL writes.
 */
const FOLDER = fileURLToPath(new URL("../docs/pictures/", import.meta.url));
const SECRET = "a secret that is long enough for HS256";
const BORIS = "2";

const HISTORY = `
  insert into responses (task_id, user_id, message, price) select id, 2, 'I drew three logos for bakeries.', 110 from tasks where title = 'A logo for a bakery';
  insert into messages (sender_id, recipient_id, body) values (4, 2, 'Thank you for the quick work!');
  update responses set status = 'accepted';
  update tasks set executor_id = 2, status = 'in_progress' where title = 'A logo for a bakery';
  insert into messages (sender_id, recipient_id, body) values (1, 2, 'Great! Could you send a first draft by Friday?');
  insert into hire_requests (customer_id, executor_id, task_id, message)
    select 3, 2, id, 'You moved my last shop. Would you move this one too?' from tasks where title = 'Move a shop to a new server';
  update bellwire.notifications set created_at = now() - interval '7 minutes' * 3 ^ ((select max(id) from bellwire.notifications) - id);
  update bellwire.notifications set read_at = now(), seen_at = now() where id < (select max(id) - 2 from bellwire.notifications);`;

const NEW = [
  "insert into messages (sender_id, recipient_id, body) values (1, 2, 'The colors are perfect. Thank you!')",
  "update tasks set status = 'completed' where title = 'A logo for a bakery'",
];

const HTML = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Marketplace</title>
<style>
  :root { color-scheme: light dark; font: 15px/1.5 Arial, sans-serif; --bell-font: Arial, sans-serif; }
  body { margin: 0; color: light-dark(#1b1d26, #eceef4); background: light-dark(#f6f7f9, #101217); }
  header { display: flex; align-items: center; gap: 24px; padding: 10px 24px; background: light-dark(#fff, #171a20); border-bottom: 1px solid light-dark(#e4e6ec, #2a2e38); }
  header b { flex: 1; font-size: 17px; }
  main { max-width: 640px; margin: 0 24px; }
  article { padding: 14px 18px; margin: 14px 0; border-radius: 12px; background: light-dark(#fff, #171a20); border: 1px solid light-dark(#e4e6ec, #2a2e38); }
  small { color: light-dark(#5b6070, #a3a9b9); }
</style>
<header><b>Marketplace</b><span>Boris</span><notification-bell></notification-bell></header>
<main><h2>Open tasks</h2>
  <article>Translate a contract into English<br><small>Anna, 80 €</small></article>
  <article>Move a shop to a new server<br><small>Clara, 300 €</small></article>
</main>
<script type="module" src="/bellwire.js"></script></html>`;

const folder = await mkdtemp(join(tmpdir(), "bellwire-pictures-"));
await chmod(folder, 0o755); // PostgreSQL does not run as root
const config = readConfig({
  EMBEDDED_PG_DIR: join(folder, "pg"),
  EMBEDDED_PG_PORT: "54339",
  JWT_SECRET: SECRET,
  JWT_COOKIE: "bell",
  PORT: "0",
  METRICS_PORT: "0",
});
const app = await startApp(config, createLogger("warn", process.stderr));
const database = new pg.Client(app.embeddedUrl);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
  args: ["--headless=new", "--no-sandbox"],
});
const token = await createMinter({ ...config.token, key: { kind: "secret", secret: SECRET } })(
  BORIS,
);

try {
  await database.connect();
  await database.query(HISTORY);
  await mkdir(FOLDER, { recursive: true });
  await takePictures();
  await takeDemo();
} finally {
  await browser.close();
  await database.end();
  await app.close();
  await rm(folder, { recursive: true });
}

async function takePictures(): Promise<void> {
  const desktop = { width: 560, height: 600 };
  const [page, polls, dark, phone] = [
    await visit({ viewport: desktop }),
    await visit({ viewport: desktop }, "polling"),
    await visit({ viewport: desktop, colorScheme: "dark" }),
    await visit({ viewport: { width: 390, height: 700 }, hasTouch: true, isMobile: true }),
  ];
  await take(page, "bell", { x: 380, y: 0, width: 180, height: 61 });
  for (const sql of NEW) await database.query(sql);
  await page
    .locator(".toast")
    .nth(NEW.length - 1)
    .waitFor();
  await take(page, "toast", { x: 170, y: 380, width: 390, height: 220 });
  const open: [string, Page][] = [
    ["list", page],
    ["polling", polls],
    ["dark", dark],
    ["phone", phone],
  ];
  for (const [name, each] of open) {
    await each.locator("notification-bell button").first().click();
    await each.locator(".panel article").first().waitFor();
    // The mouse shows the actions of a row.
    if (name === "list") await each.locator(".panel article").nth(1).hover();
    await take(
      each,
      name,
      name === "polling" ? { x: 0, y: 0, width: 560, height: 240 } : undefined,
    );
  }
}

/** The demo, after Anna has sent Boris a message. */
async function takeDemo(): Promise<void> {
  const viewport = { width: 1280, height: 800 };
  const sharp = { viewport, deviceScaleFactor: 2, reducedMotion: "reduce" } as const;
  // The demo's policy would forbid the image that `take` reads.
  const page = await browser.newPage({ ...sharp, bypassCSP: true });
  await page.goto(`${app.address}/?as=${BORIS}`);
  await page.locator("button .dot[data-status=live]").waitFor();
  await page.locator("#panel button[type=submit]").click();
  await page.locator("#latency:not([hidden])").waitFor();
  await page.locator("notification-bell button").first().click();
  await page.locator(".panel article").first().waitFor();
  await take(page, "../demo");
}

/** Boris's page, when its bell has this status. */
async function visit(options: BrowserContextOptions, status = "live"): Promise<Page> {
  const context = await browser.newContext({
    deviceScaleFactor: 2,
    reducedMotion: "reduce",
    ...options,
  });
  await context.addCookies([{ name: "bell", value: token, url: app.address }]);
  const page = await context.newPage();
  await page.route("**/marketplace", (route) =>
    route.fulfill({ contentType: "text/html; charset=utf-8", body: HTML }),
  );
  // A network that holds streams back.
  if (status === "polling") await page.route("**/stream?*", () => {});
  await page.goto(`${app.address}/marketplace`);
  await page.locator(`button .dot[data-status=${status}]`).waitFor();
  return page;
}

async function take(page: Page, name: string, clip?: Clip): Promise<void> {
  const file = join(FOLDER, `${name}.png`);
  const picture = await page.screenshot({ path: file, ...(clip && { clip }) });
  console.log(file, `${(picture.length / 1000).toFixed(1)} KB`);
}

interface Clip {
  x: number;
  y: number;
  width: number;
  height: number;
}
