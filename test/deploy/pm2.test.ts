import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { createDatabase } from "../support/database.ts";
import { createAppFolder } from "./support/app-folder.ts";
import { installProgram } from "./support/npm.ts";
import { openWatchers } from "./support/watchers.ts";

const STREAMS = 20;
/** On a machine that does nothing else. */
const SILENCE_LIMIT_MS = 1500;
const run = promisify(execFile);

let pm2: Awaited<ReturnType<typeof installProgram>>;
beforeAll(async () => {
  pm2 = await installProgram("pm2", "7.0.4");
});
afterAll(() => pm2?.remove());

/** What `pm2 jlist` says of a process. */
interface Listed {
  pid: number;
  pm2_env: { status: string; restart_time: number; exit_code?: number };
}

/** The shipped file with other modes and ports, under a PM2 of its own, which ends with the test. */
async function startPm2(databaseUrl: string, app: Record<string, unknown>) {
  const home = await mkdtemp(join(tmpdir(), "bellwire-pm2-"));
  const service = await createAppFolder(databaseUrl);
  const { folder, metricsPort } = service;
  const file = join(folder, "test.config.cjs");
  await writeFile(
    file,
    `const { apps } = require("./deploy/pm2/ecosystem.config.cjs");
     Object.assign(apps[0], ${JSON.stringify(app)});
     apps[0].env.METRICS_PORT = ${metricsPort};
     module.exports = { apps };`,
  );
  const call = async (...args: string[]) => {
    const { PATH, HOME } = process.env;
    // Not in Bellwire's folder, which the file knows.
    const options = { cwd: home, env: { PATH, HOME, PM2_HOME: home } };
    return (await run(pm2?.program ?? "", args, options)).stdout;
  };
  const list = async (): Promise<Listed[]> => {
    const said = await call("jlist");
    return JSON.parse(said.slice(said.indexOf("[{")));
  };
  onTestFinished(async () => {
    await call("kill");
    await rm(home, { recursive: true, force: true });
  });
  await call("start", file);
  return { ...service, call, list };
}

async function openDatabase() {
  const database = await createDatabase();
  onTestFinished(database.close);
  return database.url;
}

test.each([
  { exec_mode: "fork", instances: 1 },
  { exec_mode: "cluster", instances: 2 },
])(
  "pm2 reload, $exec_mode with $instances: no stream is silent for long, and nothing is lost or repeated",
  async (mode) => {
    if (!pm2) return;
    const databaseUrl = await openDatabase();
    const { call, list, url, token, metricsPort } = await startPm2(databaseUrl, mode);
    const before = await list();
    expect(before).toHaveLength(mode.instances);
    const watchers = await openWatchers({ url, token, databaseUrl, count: STREAMS });

    await call("reload", "bellwire");
    await watchers.hearAgain();
    const silenceMs = await watchers.finish();
    console.log(`${mode.exec_mode}: the longest silence was ${Math.round(silenceMs)} ms`);
    expect(silenceMs).toBeLessThanOrEqual(SILENCE_LIMIT_MS);

    const after = await list();
    expect(after.map(({ pm2_env }) => pm2_env.status)).toEqual(before.map(() => "online"));
    for (const { pid } of before) expect(after.map((listed) => listed.pid)).not.toContain(pid);
    // Each process has metrics of its own.
    const streams = await Promise.all(
      after.map(async (_, i) => {
        const text = await (await fetch(`http://127.0.0.1:${metricsPort + i}/metrics`)).text();
        return Number(/^bellwire_streams (\d+)$/m.exec(text)?.[1]);
      }),
    );
    expect(streams.reduce((sum, count) => sum + count)).toBe(STREAMS);
  },
);

test("pm2 stop ends the service cleanly, and a wrong setting is not tried again", async () => {
  if (!pm2) return;
  const { call, list, folder } = await startPm2(await openDatabase(), {});
  await call("stop", "bellwire");
  expect((await list())[0]?.pm2_env).toMatchObject({ status: "stopped", exit_code: 0 });

  await writeFile(join(folder, ".env"), "TRUST_PROXY=much\n");
  await call("start", "bellwire").catch(() => {}); // it never says that it is ready
  await expect.poll(async () => (await list())[0]?.pm2_env.exit_code).toBe(78);
  expect((await list())[0]?.pm2_env).toMatchObject({ status: "stopped", restart_time: 0 });
});

test("a crash is followed by a new process", async () => {
  if (!pm2) return;
  const { list } = await startPm2(await openDatabase(), {});
  const pid = (await list())[0]?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  await expect
    .poll(async () => (await list())[0]?.pm2_env)
    .toMatchObject({
      status: "online",
      restart_time: 1,
    });
  expect((await list())[0]?.pid).not.toBe(pid);
});

test("PM2 gives up on a service that cannot start, also where each start takes seconds", async () => {
  if (!pm2) return;
  const empty = await createDatabase(undefined, { empty: true });
  onTestFinished(empty.close);
  const { list } = await startPm2(empty.url, {
    node_args: "--import=data:text/javascript,await(new(Promise)(r=>setTimeout(r,1000)))",
  });
  await expect
    .poll(async () => (await list())[0]?.pm2_env.status, { timeout: 60_000 })
    .toBe("errored");
});
