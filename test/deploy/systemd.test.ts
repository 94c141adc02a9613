import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { asService } from "../../src/db/pool.ts";
import { findPort } from "../faults/support/ports.ts";
import { createDatabase } from "../support/database.ts";
import { copyApp } from "./support/app-folder.ts";

const UNIT = "deploy/systemd/bellwire.service";
const PROGRAM = "/usr/bin/systemd-analyze";

/** systemd's scale: 0 to 20 is "safe" or "OK". */
const EXPOSURE = 20;

const unit = readFileSync(UNIT, "utf8");
const settingOf = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(unit)?.[1] ?? "";

test.skipIf(!existsSync(PROGRAM)).each([
  { what: "is valid", args: ["verify", UNIT] },
  {
    what: "gives the service little to do harm with",
    args: ["security", "--offline=yes", `--threshold=${EXPOSURE}`, UNIT],
  },
])("the unit $what", ({ args }) => {
  const { status, stderr } = spawnSync(PROGRAM, args, { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});

/** Runs the unit's own line as systemd does: in its folder, as another user, and with nothing in the environment but the file. */
async function execStart(environment: Record<string, string>) {
  const [program = "", ...args] = settingOf("ExecStart").split(" ");
  const isRoot = process.getuid?.() === 0;
  const child = spawn(program, args, {
    cwd: await copyApp(),
    env: environment,
    ...(isRoot ? { uid: 65_534, gid: 65_534 } : {}),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.on("data", (chunk) => {
      said += chunk;
    });
  const ended = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, ended, said: () => said };
}

test("the unit's command serves with the settings of the example, and ends in time", async () => {
  const { url: databaseUrl, close } = await createDatabase();
  onTestFinished(close);
  const port = `${await findPort()}`;
  const example = parseEnv(readFileSync(join("deploy/systemd/bellwire.env"), "utf8"));
  expect(Object.keys(example)).toEqual(["DATABASE_URL", "JWT_SECRET", "TRUST_PROXY"]);
  const { child, ended, said } = await execStart({
    ...(example as Record<string, string>),
    DATABASE_URL: asService(databaseUrl),
    PORT: port,
    METRICS_PORT: `${await findPort()}`,
  });
  const url = `http://127.0.0.1:${port}`;
  await expect
    .poll(async () => (await fetch(`${url}/readyz`).catch(() => undefined))?.status, {
      message: said(),
    })
    .toBe(200);

  const toldAt = performance.now();
  expect(settingOf("KillSignal")).toBe(""); // SIGTERM
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  const limitMs = Number(settingOf("TimeoutStopSec")) * 1000;
  expect(performance.now() - toldAt).toBeLessThan(limitMs);
});

test("a wrong setting ends the command with the code after which systemd does not restart", async () => {
  const { ended, said } = await execStart({ TRUST_PROXY: "much" });
  expect(await ended).toEqual([Number(settingOf("RestartPreventExitStatus")), null]);
  expect(said()).toContain("at TRUST_PROXY");
  expect(settingOf("Restart")).toBe("always");
});
