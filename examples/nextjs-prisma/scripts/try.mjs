// Runs the example in Chromium, as two users, on a new database: a task, a response, and the bell that tells about it. Leaves pictures in
// `pictures/`. `npm run try -- start` tries the production build instead of the development server. CHROMIUM names the browser, if it is not /usr/bin/chromium.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import pg from "pg";
import { chromium } from "playwright-core";

const mode = process.argv[2] ?? "dev";
const ports = { PORT: "3910", BELLWIRE_PORT: "3911", POSTGRES_PORT: "54391" };
const url = `http://localhost:${ports.PORT}`;
const POSTGRES_DIR = ".postgres-try";
await rm(POSTGRES_DIR, { recursive: true, force: true });
if (mode === "start") {
  // A build keeps the addresses of its rewrites.
  const env = { ...process.env, BELLWIRE_URL: `http://127.0.0.1:${ports.BELLWIRE_PORT}` };
  execFileSync("next", ["build"], { env, stdio: "inherit" });
}
const example = spawn("node", ["scripts/start.mjs", mode], {
  env: { ...process.env, ...ports, POSTGRES_DIR },
  stdio: ["ignore", "inherit", "inherit"],
});
const ended = once(example, "exit");
let browser;
try {
  await Promise.race([answers(), ended.then(([code]) => fail(`the example ended with ${code}`))]);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"], // also as root
  });
  await tryIt();
} finally {
  await browser?.close();
  example.kill();
  await ended;
  await rm(POSTGRES_DIR, { recursive: true, force: true });
}

async function tryIt() {
  const anna = await signIn("Anna");
  await anna.page.getByLabel("Title").fill("A logo for a bakery");
  await anna.page.getByLabel("Price").fill("120");
  await anna.page.getByRole("button", { name: "Create" }).click();
  await anna.page.getByRole("heading", { name: "A logo for a bakery" }).waitFor();
  await anna.bell.and(anna.page.getByTitle("Connected")).waitFor();

  const boris = await signIn("Boris");
  await boris.page.getByRole("link", { name: "A logo for a bakery" }).click();
  await boris.page.getByLabel("Response").fill("Three drafts by Friday");
  await boris.page.getByRole("button", { name: "Respond" }).click();

  const toast = anna.page.locator("notification-bell [part~=toast]");
  await toast.getByText('Boris responded to "A logo for a bakery"').waitFor();
  done("Anna sees a toast");
  await badge(anna, "1");
  done("and the badge");
  await anna.page.getByText("Boris: Three drafts by Friday").waitFor();
  done("and, without a reload, the response in the page that she has open");
  await anna.page.screenshot({ path: "pictures/toast.png", animations: "disabled" });

  await anna.bell.click();
  await anna.page.getByRole("dialog").getByText("Three drafts by Friday").waitFor();
  await anna.page.screenshot({ path: "pictures/list.png", animations: "disabled" });
  done("the list has it");

  await anna.page.keyboard.press("Escape");
  await anna.page.getByRole("button", { name: "Accept" }).click();
  await boris.page.goto(url);
  await badge(boris, "1");
  await boris.bell.click();
  await boris.page
    .getByRole("dialog")
    .getByRole("link", { name: /You got the task/ })
    .click();
  await boris.page.waitForURL(/\/tasks\//);
  await badge(boris, "");
  const client = new pg.Client(
    `postgres://postgres:postgres@127.0.0.1:${ports.POSTGRES_PORT}/marketplace`,
  );
  await client.connect();
  const unread = `select from bellwire.notifications where recipient_id = 'boris' and read_at is null`;
  while ((await client.query(unread)).rowCount > 0);
  done("Boris is told that he was accepted; the link leads to the task and marks it as read");
  await client.query(`insert into "Message" ("id", "text", "taskId", "senderId")
    select 'by-hand', 'Sent with psql', "id", 'boris' from "Task"`);
  await toast.getByText("Sent with psql").waitFor();
  done("a row that psql inserts rings as well");
  await client.query(`update "User" set "blocked" = true where "id" = 'boris'`);
  await client.end();
  await boris.bell.and(boris.page.getByTitle("Signed out")).waitFor({ timeout: 90_000 });
  done("a blocked user is signed out");

  const noise = [...anna.noise, ...boris.noise].filter((line) => !line.includes("401"));
  if (noise.length > 0) fail(`The consoles have errors:\n${noise.join("\n")}`);
}

async function signIn(name) {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  const page = await context.newPage();
  const noise = [];
  page.on("console", (line) => line.type() === "error" && noise.push(`${name}: ${line.text()}`));
  page.on("pageerror", (error) => noise.push(`${name}: ${error.stack}`));
  await page.goto(url);
  await page.getByRole("button", { name }).click();
  await page.getByRole("heading", { name: "Tasks" }).waitFor();
  return { page, noise, bell: page.locator("notification-bell").getByRole("button").first() };
}

async function badge({ page }, text) {
  const found = page.locator("notification-bell [part~=badge]");
  await (text
    ? found.getByText(text, { exact: true }).waitFor()
    : found.waitFor({ state: "hidden" }));
}

async function answers() {
  for (;;) {
    const answer = await fetch(`${url}/sign-in`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

function done(what) {
  console.log(`  ok  ${what}`);
}

function fail(why) {
  throw new Error(why);
}
