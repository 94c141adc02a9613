import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installProgram } from "./support/npm.ts";

const run = promisify(execFile);

let dclint: Awaited<ReturnType<typeof installProgram>>;
beforeAll(async () => {
  dclint = await installProgram("dclint", "3.1.0");
});
afterAll(() => dclint?.remove());

/** A matter of taste: the order of keys and services. */
const TASTE = ["service-keys-order", "services-alphabetical-order"];

test("compose.yaml follows the schema of Compose and what its linter advises", async () => {
  if (!dclint) return;
  const args = ["deploy/compose.yaml", ...TASTE.flatMap((rule) => ["--disable-rule", rule])];
  const { stdout } = await run(dclint.program, args).catch((err) => err);
  expect(stdout.trim()).toBe("");
});
