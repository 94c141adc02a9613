import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const text = readFileSync(new URL("docs/architecture.md", ROOT), "utf8");

/** A path in backticks that begins with one of these folders, or names a file of the root. */
const PATH =
  /^(?:(?:src|sql|test|docs|migrations|packages|examples)\/[\w./-]*|[\w.-]+\.(?:md|json|example))$/;
const code = [...text.matchAll(/`([^`\n]+)`/g)].map(([, marked = ""]) => marked);
const paths = new Set(code.filter((marked) => PATH.test(marked)));

test("every path that docs/architecture.md names exists", () => {
  expect(paths.size).toBeGreaterThan(60);
  const missing = [...paths].filter((path) => !existsSync(new URL(path, ROOT)));
  expect(missing).toEqual([]);
});

test("docs/architecture.md names every folder of src", () => {
  const folders = readdirSync(new URL("src", ROOT), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ parentPath, name }) => `src/${`${parentPath}/${name}`.split("/src/").at(-1)}/`);
  expect(folders).toContain("src/transports/sse/");
  // Without Prisma's own folders, which nobody edits.
  const ours = folders.filter((folder) => !/^src\/db\/generated\/./.test(folder));
  expect(ours.filter((folder) => !paths.has(folder))).toEqual([]);
});
