import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { asService } from "../src/db/pool.ts";
import { readVersion } from "../src/version.ts";
import { createDatabase, type TestDatabase } from "./support/database.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SECRET = "a secret that is long enough for HS256";
/** A process that takes longer is killed, and its test fails. npm may have to ask the registry. */
const LIMIT_MS = 150_000;

/** What a build and a package need, and some that a package must not have. */
const COPIED = [
  ...[
    "src",
    "sql",
    "migrations",
    "deploy",
    "scripts",
    "docs",
    "packages",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
  ],
  ...[
    "package.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "tsconfig.types.json",
    "prisma.config.ts",
  ],
];

/** Has a copy of the checkout, and the project into which its package is installed. */
let folder: string;
let project: string;
let database: TestDatabase;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bellwire-package-"));
  project = join(folder, "project");
  const checkout = await copyCheckout();
  const installing = Promise.all([
    createDatabase(),
    mkdir(join(project, "rules"), { recursive: true }),
  ]);
  // Runs `prepare`, which builds.
  await run(checkout, "npm", "pack", "--pack-destination", folder);
  [database] = await installing;
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
  const options = ["--prefer-offline", "--omit=optional", "--no-audit", "--no-fund"];
  await run(project, "npm", "install", ...options, `../bellwire-${readVersion()}.tgz`);
}, LIMIT_MS);

afterAll(async () => {
  await database?.close();
  await rm(folder, { recursive: true, force: true });
});

/** A build in the checkout itself would change files that other tests read. */
async function copyCheckout(): Promise<string> {
  const copy = join(folder, "checkout");
  for (const name of COPIED) await cp(join(ROOT, name), join(copy, name), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  await mkdir(join(copy, "dist"));
  await writeFile(join(copy, "dist/removed-long-ago.js"), "");
  return copy;
}

/** Rejects unless the program exits with 0. */
function run(cwd: string, program: string, ...args: string[]) {
  const env = { ...process.env, DATABASE_URL: database?.url, JWT_SECRET: "" };
  return promisify(execFile)(program, args, { cwd, env, timeout: LIMIT_MS, maxBuffer: 2 ** 26 });
}

test("the package has what it needs to run, and nothing else", async () => {
  const installed = join(project, "node_modules/bellwire");
  expect((await readdir(installed)).sort()).toEqual([
    "LICENSE",
    "README.md",
    "deploy",
    "dist",
    "migrations",
    "package.json",
    "sql",
  ]);
  const files = await readdir(installed, { recursive: true });
  for (const needed of [
    "dist/bellwire.js",
    "dist/install.sql",
    "dist/demo/page/index.html",
    "dist/db/generated/client.js",
    "dist/cli.js",
    "deploy/nginx/bellwire.conf",
    "deploy/systemd/bellwire.service",
  ])
    expect(files).toContain(needed);
  expect(files).not.toContain("dist/removed-long-ago.js");
  // It builds the checkout, which the package does not have.
  expect(files).not.toContain("deploy/compose.yaml");
  expect(files.filter((file) => /\.(ts|map)$/.test(file))).toEqual(["dist/service.d.ts"]);
  for (const file of files.filter((file) => file.endsWith(".js")))
    expect(await readFile(join(installed, file), "utf8"), file).not.toContain("sourceMappingURL");
  expect(await readdir(join(project, "node_modules"))).not.toContain("prisma");
});

test("its command says the version, and plans the rules of the working directory", async () => {
  await writeFile(join(project, "rules/mine.sql"), "select 'a rule of this project';\n");
  const [version, plan] = await Promise.all([
    run(project, join(project, "node_modules/.bin/bellwire"), "--version"),
    run(project, "npx", "bellwire", "plan", "rules"),
  ]);
  expect(version.stdout).toBe(`${readVersion()}\n`);
  expect(plan.stdout).toContain("'rules/mine.sql'");
  expect(plan.stdout).toContain("a rule of this project");
});

test("the systemd unit's command runs in the package's folder", async () => {
  const installed = join(project, "node_modules/bellwire");
  const unit = await readFile(join(installed, "deploy/systemd/bellwire.service"), "utf8");
  const [, args = ""] = /^ExecStart=\/usr\/bin\/node (.*) start$/m.exec(unit) ?? [];
  const { stdout } = await run(installed, process.execPath, ...args.split(" "), "--version");
  expect(stdout.trim()).toBe(readVersion());
});

test("a TypeScript program starts and closes the service, and can import nothing else", async () => {
  const settings = {
    DATABASE_URL: asService(database.url),
    JWT_SECRET: SECRET,
    HOST: "127.0.0.1",
    PORT: "0",
    METRICS_PORT: "0",
    DRAIN_SECONDS: "0",
    LOG_LEVEL: "silent",
  };
  await writeFile(
    join(project, "program.ts"),
    `import { type Service, startService } from "bellwire";
     const service: Service = await startService(${JSON.stringify(settings)});
     const answers = [await fetch(service.url + "/livez"), await fetch(service.metricsUrl)];
     await service.close();
     // @ts-expect-error: the package does not export it
     const refused = await import("bellwire/dist/app/app.js").catch(({ code }) => code);
     console.log(JSON.stringify([...answers.map(({ status }) => status), refused]));`,
  );
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const strict = ["--strict", "--module", "nodenext", "--target", "es2023", "--types", ""];
  await run(project, process.execPath, tsc, ...strict, "program.ts");
  // It exits by itself only if the service has closed everything.
  const { stdout } = await run(project, process.execPath, "program.js");
  expect(JSON.parse(stdout)).toEqual([200, 200, "ERR_PACKAGE_PATH_NOT_EXPORTED"]);
});

test("without the development dependencies prepare succeeds, and says how to build; npm pack fails", async () => {
  const copy = await copyFiles("package.json", "scripts/prepare.js");
  const { stdout } = await run(copy, process.execPath, script("prepare"));
  expect(stdout).toMatch(
    /was not built[\s\S]*\nnpm ci --include=dev --include=optional && npm run build\n$/,
  );
  await expect(run(copy, "npm", "pack")).rejects.toThrow("sh -c node scripts/prepare.js");
});

test("publishing is refused while OWNER stands for the repository's owner", async () => {
  const paths = [
    "package.json",
    "packages/client/package.json",
    "packages/react/package.json",
    ".github/ISSUE_TEMPLATE/config.yml",
    "deploy/monitoring/alerts.yaml",
    "deploy/systemd/bellwire.service",
    "docs/deploy.md",
  ];
  for (const path of paths) {
    const copy = await copyFiles(...paths);
    const write = async (path: string, owner: string) => {
      const text = await readFile(join(ROOT, path), "utf8");
      await writeFile(
        join(copy, path),
        text.replaceAll(/github\.com\/[^/]+/g, `github.com/${owner}`),
      );
    };
    for (const other of paths) await write(other, "someone");
    await run(copy, process.execPath, script("prepublish"));
    await write(path, "OWNER");
    await expect(run(copy, process.execPath, script("prepublish"))).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(path),
    });
  }
});

const script = (name: string) => join(ROOT, `scripts/${name}.js`);

/** A folder with these files of the checkout. */
async function copyFiles(...paths: string[]): Promise<string> {
  const copy = await mkdtemp(join(folder, "copy-"));
  onTestFinished(() => rm(copy, { recursive: true }));
  for (const path of paths) {
    await mkdir(dirname(join(copy, path)), { recursive: true });
    await cp(join(ROOT, path), join(copy, path));
  }
  return copy;
}
