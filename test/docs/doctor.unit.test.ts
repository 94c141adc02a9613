import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { expect, test } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, ROOT), "utf8");

/** `| fault | `level check` what doctor says | [name](its test) |` */
const ROW = /^\| (.+?) \| `(look|broken) (\w+)` (.+?) \| \[[\w./-]+\]\(([\w./-]+)\) \|$/;
const lines = read("docs/doctor.md")
  .split("\n")
  .filter((line) => line.startsWith("| ") && line.includes("](../test/"));
const rows = lines.map((line) => {
  const [, fault = "", level, check, , link = ""] = ROW.exec(line) ?? [];
  return { line, fault, level, check, file: posix.join("docs", link) };
});

const sources = readdirSync(new URL("src/doctor", ROOT), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => read(`src/doctor/${name}`));

/** What makes a finding, and in checks.ts the name of a check, which is a finding if it cannot be made. */
const FINDS = /(?<![.\w])(?:look|broken|find|check|on)\(\s*(?:[\w.]+,\s*)?"(\w+)"/g;

test("every row of docs/doctor.md has its form, and a test of its fault's name", () => {
  expect(rows.length).toBeGreaterThan(100);
  for (const { line, fault, file } of rows) {
    expect(line).toMatch(ROW);
    expect(read(file), file).toContain(`"${fault}"`);
  }
});

test("every check that can find something has a row in docs/doctor.md, and no other has", () => {
  const checks = sources.flatMap((text) => [...text.matchAll(FINDS)].map(([, check]) => check));
  // src/doctor/database/rules.ts makes a check of each code that is not a note.
  const meanings = read("src/migrate/rule-meanings.ts");
  for (const [, code] of meanings.matchAll(/^ {2}(\w+): \{\s+level: "(?:broken|look)"/gm))
    checks.push(`rule_${code}`);
  expect(new Set(rows.map(({ check }) => check))).toEqual(new Set(checks));
});
