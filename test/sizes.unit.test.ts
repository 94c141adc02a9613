import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";
import { expect, test } from "vitest";

const PACKAGES = fileURLToPath(new URL("../packages", import.meta.url));

/** In bytes, minified and gzipped, of this module with all that it imports. */
function sizeOf(contents: string): number {
  const [output] = buildSync({
    stdin: { contents, resolveDir: PACKAGES },
    external: ["react"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  }).outputFiles;
  return gzipSync(output?.contents ?? "", { level: 9 }).length;
}

const CORE = 'export { createBell } from "./client/src/bell.ts";';
const REACT = 'export * from "./react/src/react.ts";';

test("@bellwire/client has at most 4.4 KB", () => {
  expect(sizeOf(CORE)).toBeLessThanOrEqual(4505);
});

test("the element has at most 12 KB, with the client", () => {
  const all = sizeOf('import "./client/src/element.ts"; export * from "./client/src/bell.ts";');
  expect(all).toBeLessThanOrEqual(12_288);
});

test("@bellwire/react has at most 1,000 bytes more", () => {
  const own = sizeOf(REACT) - sizeOf(CORE);
  expect(own).toBeGreaterThan(0);
  expect(own).toBeLessThanOrEqual(1000);
});
