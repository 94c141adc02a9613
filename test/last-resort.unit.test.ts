import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { constants, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

/** A process with a pipe that nobody reads as its descriptor 3, where a write waits. */
async function runStuck(script: string) {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-last-"));
  const pipe = join(folder, "pipe");
  spawnSync("mkfifo", [pipe]);
  const unread = openSync(pipe, constants.O_RDWR);
  const text = `import { endWithin } from "./src/last-resort.ts"; import fs from "node:fs"; ${script}`;
  const args = ["--import", "tsx", "--input-type=module", "--eval", text];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit", unread] });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true });
  });
  const [code, signal] = await once(child, "exit");
  return { code, signal };
}

test("a process that waits in a write is ended", async () => {
  const end = await runStuck("endWithin(1000); fs.writeSync(3, Buffer.alloc(200_000))");
  expect(end).toEqual({ code: null, signal: "SIGKILL" });
});

test("one whose exit waits for another thread, too", async () => {
  const end = await runStuck(
    "fs.write(3, Buffer.alloc(200_000), () => {}); setTimeout(() => { endWithin(1000); process.exit(0); }, 100)",
  );
  expect(end).toEqual({ code: null, signal: "SIGKILL" });
});

test("one that ends by itself does not wait for it", async () => {
  const startedAt = performance.now();
  expect(await runStuck("endWithin(60_000)")).toEqual({ code: 0, signal: null });
  expect(performance.now() - startedAt).toBeLessThan(20_000);
});

test("without descriptors there is none, and the end goes on", async () => {
  const end = await runStuck(`
    try { for (;;) fs.openSync("/dev/null", "r"); } catch {}
    endWithin(60_000);
    setTimeout(() => process.exit(3), 50);
  `);
  expect(end).toEqual({ code: 3, signal: null });
});
