import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";

const CANARY = "canary";

test("an unexpected error ends the process with a log line that contains no row", () => {
  // Like the service's start, with an unexpected error.
  const script = `
    import pg from "pg";
    import { exitOnUnexpectedError } from "./dist/main.js";
    import { createLogger } from "./dist/logger.js";
    exitOnUnexpectedError(createLogger("info"));
    const err = new pg.DatabaseError("invalid input: ${CANARY}", 1, "error");
    Object.assign(err, { code: "22P02", detail: "${CANARY}" });
    Promise.reject(err);
    setInterval(() => {}, 1000);
  `;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", script],
    { encoding: "utf8", timeout: 50_000 },
  );
  expect(stdout + stderr).not.toContain(CANARY);
  expect(stdout).toContain("unexpected error");
  expect(status).toBe(2);
});

test("the process never waits for a reader of its log, and writes the remaining lines at exit", async () => {
  const script = `
    import { createLogger } from "./dist/logger.js";
    const log = createLogger("info");
    for (let n = 0; n < 2000; n++) log.info({ n, words: "x".repeat(1000) }, "a line");
    process.stderr.write("still here");
    process.stdin.once("data", () => {
      log.info("the last");
      process.exit(0);
    });
  `;
  const args = ["--input-type=module", "--eval", script];
  const child = spawn(process.execPath, args);
  onTestFinished(() => void child.kill("SIGKILL"));
  // A pipe holds 64 KB of the two million, and nobody reads it yet.
  const [words] = await once(child.stderr, "data");
  expect(String(words)).toBe("still here");
  child.stdin.write("end");
  const lines = (await text(child.stdout)).trimEnd().split("\n");
  expect(lines).toHaveLength(2001);
  expect(lines.at(-1)).toContain("the last");
});

test("another package's write to a closed standard error does not end the process", async () => {
  // As the deprecations of Express's packages are written.
  const script = `
    import { createLogger } from "./dist/logger.js";
    createLogger("info").info("up");
    process.stdin.once("data", () => {
      process.stderr.write("a warning", () => setImmediate(() => process.exit(0)));
    });
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script]);
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  child.stderr.destroy();
  await once(child.stderr, "close");
  child.stdin.write("now");
  expect(await once(child, "exit")).toEqual([0, null]);
});
