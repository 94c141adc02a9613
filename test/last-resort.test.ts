import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { constants, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

/** A process whose descriptor 3 is a pipe that nobody reads, so that a write to it blocks. */
async function runStuck(script: string) {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-last-"));
  const pipe = join(folder, "pipe");
  spawnSync("mkfifo", [pipe]);
  const unread = openSync(pipe, constants.O_RDWR);
  const text = `import { killAfter } from "./dist/last-resort.js"; import fs from "node:fs"; ${script}`;
  const args = ["--input-type=module", "--eval", text];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit", unread] });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true });
  });
  const [code, signal] = await once(child, "exit");
  return { code, signal };
}

test("a process that is blocked in a write is killed", async () => {
  const end = await runStuck("killAfter(1000); fs.writeSync(3, Buffer.alloc(200_000))");
  expect(end).toEqual({ code: null, signal: "SIGKILL" });
});

test("a process whose exit waits for another thread is killed", async () => {
  const end = await runStuck(
    "fs.write(3, Buffer.alloc(200_000), () => {}); setTimeout(() => { killAfter(1000); process.exit(0); }, 100)",
  );
  expect(end).toEqual({ code: null, signal: "SIGKILL" });
});

test("a process that exits by itself does not wait for the last resort", async () => {
  const startedAt = performance.now();
  expect(await runStuck("killAfter(60_000)")).toEqual({ code: 0, signal: null });
  expect(performance.now() - startedAt).toBeLessThan(20_000);
});

test("without free descriptors there is no last resort, and the process still exits", async () => {
  const end = await runStuck(`
    try { for (;;) fs.openSync("/dev/null", "r"); } catch {}
    killAfter(60_000);
    setTimeout(() => process.exit(3), 50);
  `);
  expect(end).toEqual({ code: 3, signal: null });
});
