import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
const PACKAGES = ["client", "react"];

const run = (cwd: string, program: string, ...args: string[]) =>
  promisify(execFile)(program, args, { cwd });

/** A user's project with the packages as npm would publish them. */
let project: string;

const installed = (name: string) => join(project, "node_modules/@bellwire", name);

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "bellwire-packages-"));
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
  // One after the other, because a package is built with the ones before it.
  for (const name of PACKAGES) {
    // Runs `prepack`, which builds.
    await run(join(ROOT, "packages", name), "npm", "pack", "--pack-destination", project);
    await mkdir(installed(name), { recursive: true });
    const { version } = JSON.parse(
      await readFile(join(ROOT, "packages", name, "package.json"), "utf8"),
    );
    const archive = join(project, `bellwire-${name}-${version}.tgz`);
    await run(installed(name), "tar", "-xzf", archive, "--strip-components=1");
  }
  for (const name of ["react", "@types", "csstype"])
    await symlink(join(ROOT, "node_modules", name), join(project, "node_modules", name));
});

afterAll(() => rm(project, { recursive: true, force: true }));

test.each(PACKAGES)("@bellwire/%s has its build, and nothing else", async (name) => {
  const files = await readdir(installed(name));
  expect(files.sort()).toEqual(["LICENSE", "README.md", "dist", "package.json"]);
  expect(await readFile(join(installed(name), "LICENSE"), "utf8")).toBe(
    await readFile(join(ROOT, "LICENSE"), "utf8"),
  );
  const built = await readdir(join(installed(name), "dist"), {
    recursive: true,
    withFileTypes: true,
  });
  const other = built.filter((each) => each.isFile() && !/\.(js|d\.ts)$/.test(each.name));
  expect(other).toEqual([]);
});

/** Compiles it as a user's project would, without skipping the packages' types. */
async function compile(file: string, source: string, ...options: string[]): Promise<void> {
  await writeFile(join(project, file), source);
  const strict = ["--strict", "--target", "es2023", "--types", "", "--outDir", "."];
  await run(project, process.execPath, TSC, ...strict, ...options, file).catch(({ stdout }) => {
    throw new Error(stdout);
  });
}

test.each([
  ["Node.js", ["--module", "nodenext"]],
  ["a bundler", ["--module", "esnext", "--moduleResolution", "bundler"]],
])("a TypeScript program for %s uses the client", async (_, options) => {
  const source = `
    import { type Bell, createBell, Failure, type Notification } from "@bellwire/client";
    const bell: Bell = createBell({ url: "http://127.0.0.1:1/api/notifications", shareTabs: false });
    bell.on("notification", ({ title }: Notification) => title?.length);
    // @ts-expect-error: no such status
    const wrong: "on" = bell.getSnapshot().status;
    bell.markAsRead("1").catch((failure) => {
      bell.close();
      console.log(failure instanceof Failure, bell.getSnapshot().status);
    });`;
  await compile("program.ts", source, ...options);
  const { stdout } = await run(project, process.execPath, "program.js");
  expect(stdout).toBe("true connecting\n");
});

test("a TypeScript program uses the hooks, from a module that Next.js takes for the client's", async () => {
  const source = `
    import { type BellSnapshot, BellProvider, useBell, useBellStatus, useNotifications, useUnreadCount } from "@bellwire/react";
    function Inbox() {
      const bell = useBell();
      const { notifications }: BellSnapshot = useNotifications();
      const rows = notifications.map(({ id, title }) =>
        <li key={id} onClick={() => bell?.markAsRead(id)}>{title}</li>);
      // @ts-expect-error: a number
      const wrong: string = useUnreadCount();
      return <ul className={useBellStatus()}>{rows}</ul>;
    }
    export const page = <BellProvider url="/api/notifications" getToken={async () => "token"}><Inbox /></BellProvider>;`;
  const bundler = ["--module", "esnext", "--moduleResolution", "bundler"];
  await compile("page.tsx", source, ...bundler, "--jsx", "react-jsx");
  const built = await readFile(join(installed("react"), "dist/react.js"), "utf8");
  expect(built).toMatch(/^"use client";\n/);
});
