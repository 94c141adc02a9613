import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { Finding } from "../../../src/doctor/finding.ts";
import { CLI } from "../../support/cli.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openService, type Service } from "../../support/service.ts";
import { QUICK, SECRET } from "./support/examine.ts";

let folder: string;
let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bellwire-doctor-"));
  database = await createDatabase();
  service = await openService({ databaseUrl: database.url, env: QUICK });
});
afterAll(async () => {
  await service.close();
  await database.close();
  await rm(folder, { recursive: true });
});

/** The command as a process of its own, with this environment and nothing of ours. */
function launch(args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [CLI, "doctor", ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", METRICS_PORT: new URL(service.metricsUrl).port, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (chunk) => {
      said[name] += chunk;
    });
  return { child, ended: once(child, "close").then(([code]) => ({ code, ...said })) };
}

const find = (stdout: string, check: string): Finding | undefined =>
  JSON.parse(stdout).findings.find((finding: Finding) => finding.check === check);

test("without DATABASE_URL only the way is examined, with a token that it makes or is given", async () => {
  const token = await service.token("a person");
  const [made, given] = await Promise.all([
    launch([service.url], { JWT_SECRET: SECRET }).ended,
    launch([service.url, "--token", token, "--json"], {}).ended,
  ]);
  expect(made).toMatchObject({ code: 0, stderr: "" });
  expect(made.stdout).toMatch(/^ok {5}reach: .* leads to the service$/m);
  expect(made.stdout).toMatch(/All is well\. Checks: \d+\.\n$/);
  expect(given).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(given.stdout).verdict).toBe("well");
  expect(given.stdout).not.toContain(token);
});

test("with DATABASE_URL it also examines the database's side, and writes rows that it deletes", async () => {
  const env = { DATABASE_URL: database.url, JWT_SECRET: SECRET };
  const { stdout } = await launch([service.url, "--recipient", "7", "--json"], env).ended;
  expect(find(stdout, "resume")?.level).toBe("well");
  expect(find(stdout, "schema")?.level).toBe("well");
  expect(await database.query("select 1 from bellwire.notifications")).toEqual([]);
});

test("a token's recipient gets no row, unless it is named", async () => {
  const token = await service.token("a person");
  const env = { DATABASE_URL: database.url, JWT_SECRET: SECRET };
  const [unnamed, other] = await Promise.all([
    launch([service.url, "--token", token, "--json"], env).ended,
    launch([service.url, "--token", token, "--recipient", "7"], env).ended,
  ]);
  expect(find(unnamed.stdout, "heartbeat")?.level).toBe("well");
  expect(find(unnamed.stdout, "resume")).toBeUndefined();
  expect(other.code).toBe(2);
  expect(other.stderr).toMatch(/^--token is of another recipient than --recipient\n/);
  expect(await database.query("select 1 from bellwire.notifications")).toEqual([]);
});

test("where the login may not write a row, it says so and uses pings", async () => {
  const { asService } = await import("../../../src/db/pool.ts");
  const env = { DATABASE_URL: asService(database.url), JWT_SECRET: SECRET };
  const { stdout } = await launch([service.url, "--json"], env).ended;
  expect(find(stdout, "canary")?.seen).toMatch(/may not call bellwire\.notify\(\)/);
  expect(find(stdout, "heartbeat")?.level).toBe("well");
});

test("its rows are deleted when it is stopped", async () => {
  const env = { DATABASE_URL: database.url, JWT_SECRET: SECRET };
  const { child, ended } = launch([service.url], env);
  const count = async () => (await database.query("select 1 from bellwire.notifications")).length;
  await expect.poll(count, { interval: 5 }).toBeGreaterThan(0);
  child.kill("SIGINT");
  expect(await ended).toMatchObject({ code: 2, stdout: "" });
  expect(await count()).toBe(0);
});

test("without a token and a way to make one, it says what to do", async () => {
  const [none, foreign, noUrl] = await Promise.all([
    launch([service.url], {}).ended,
    launch([service.url], { JWT_JWKS_URL: "https://id.example/keys" }).ended,
    launch(["--long"], { DATABASE_URL: database.url }).ended,
  ]);
  for (const { code } of [none, foreign, noUrl]) expect(code).toBe(2);
  expect(none.stderr).toMatch(/^doctor needs a token for this: pass one with --token, or/);
  expect(foreign.stderr).toMatch(/^only your application can sign a token for this service/);
  expect(noUrl.stderr).toMatch(/need the URL of your site/);
});
