import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished } from "vitest";
import { testInBrowser } from "../../../test/browser/support/chromium.ts";
import { createDatabase } from "../../../test/support/database.ts";
import { startService } from "../../../test/support/service.ts";
import { openBrowser } from "./support/bell-page.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PINNED = [
  "next@16.4.6",
  "react@19.3.1",
  "react-dom@19.3.1",
  "typescript@5.9.3",
  "@types/node@20.19.43",
  "@types/react@19.3.0",
];

async function exampleOf(file: string, heading: string): Promise<string> {
  const [, section = ""] = (await readFile(join(ROOT, file), "utf8")).split(`\n## ${heading}\n`);
  return /```tsx\n([\s\S]*?)```/.exec(section.split("\n## ")[0] ?? "")?.[1] ?? "";
}

const run = (cwd: string, program: string, ...args: string[]) =>
  promisify(execFile)(program, args, { cwd });

testInBrowser("the recipe for Next.js")(
  "the recipe of docs/frontend.md is built and served by Next.js, and its bell rings",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "bellwire-next-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const [port, database] = [34_567, await createDatabase()];
    onTestFinished(database.close);
    const service = await startService({
      databaseUrl: database.url,
      env: { ALLOWED_ORIGINS: `http://localhost:${port}` },
    });
    const bell = await exampleOf("docs/frontend.md", "In Next.js");
    const token = JSON.stringify(await service.token("1"));
    const files = {
      "package.json": '{ "private": true }',
      "app/bell.tsx": bell.replaceAll("https://bell.example", service.url),
      "app/layout.tsx": `import { Bell } from "./bell";
        export default function Layout({ children }: { children: React.ReactNode }) {
          return <html lang="en"><body><header><Bell userId="1" /></header>{children}</body></html>;
        }`,
      "app/page.tsx": `import Link from "next/link";
        export default function Page() { return <Link href="/other">other</Link>; }`,
      "app/other/page.tsx": "export default function Page() { return <h1>Other</h1>; }",
      "app/api/bell-token/route.ts": `export const GET = () => Response.json({ token: ${token} });`,
    };
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(folder, name, ".."), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    for (const name of ["client", "react"])
      await run(join(ROOT, "packages", name), "npm", "pack", "--pack-destination", folder);
    const packages = ["client", "react"].map((name) => `./bellwire-${name}-0.1.0.tgz`);
    await run(folder, "npm", "install", ...PINNED, ...packages);
    const next = join(folder, "node_modules/next/dist/bin/next");
    await run(folder, process.execPath, next, "build");
    const server = spawn(process.execPath, [next, "start", "-p", String(port)], {
      cwd: folder,
      stdio: "ignore",
    });
    const ended = once(server, "exit");
    onTestFinished(async () => {
      server.kill();
      await ended;
    });
    const address = `http://localhost:${port}`;
    await expect.poll(() => fetch(address).then(({ status }) => status, String)).toBe(200);

    const page = await (await openBrowser()).newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(address);
    await page.locator("summary").click();
    const summary = () => page.locator("summary").textContent();
    const notify = (title: string) =>
      database.query("select bellwire.notify('1', 'note', title => $1)", [title]);
    await notify("one");
    await expect.poll(summary).toBe("Inbox (1)");
    await page.getByRole("link", { name: "other" }).click();
    await page.getByRole("heading", { name: "Other" }).waitFor();
    // The layout has stayed, and the bell with it.
    await notify("two");
    await expect.poll(summary).toBe("Inbox (2)");
    await page.getByRole("button", { name: "two" }).click();
    await expect.poll(summary).toBe("Inbox (1)");
    expect(problems).toEqual([]);
  },
);
