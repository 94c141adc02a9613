import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, ROOT), "utf8");

const GUIDES = "test/deploy/guides/";
const page = read("docs/rules.md");
const projects = readdirSync(new URL(GUIDES, ROOT), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const packageOf = (name: string) => JSON.parse(read(`${GUIDES}${name}/package.json`));

test.each(projects)(
  "docs/rules.md has the scripts and the rule that the test of %s runs",
  (name) => {
    const scripts = Object.entries(packageOf(name).scripts as Record<string, string>);
    for (const [script, line] of scripts.filter(([script]) => script.startsWith("db:")))
      expect(page).toContain(`"${script}": "${line}"`);
    const rule = read(`${GUIDES}${name}/bellwire/rules/response_received.sql`);
    expect(page).toContain(rule.slice(rule.indexOf("select bellwire.define_rule")));
  },
);

test.each([
  ["Prisma", "prisma", "prisma"],
  ["drizzle-orm", "drizzle", "drizzle-orm"],
  ["drizzle-kit", "drizzle", "drizzle-kit"],
  ["Knex", "knex", "knex"],
  ["node-pg-migrate", "node-pg-migrate", "node-pg-migrate"],
])("docs/rules.md names the version of %s that was run", (title, project, name) => {
  const { dependencies, devDependencies } = packageOf(project);
  expect(page).toContain(`${title} ${{ ...dependencies, ...devDependencies }[name]}`);
});

test("docs/rules.md has the line that the test of psql runs", () => {
  const [line = ""] = read(`${GUIDES}psql/rules.sh`).trimEnd().split("\n").slice(-1);
  expect(line).toContain("ON_ERROR_STOP");
  expect(page).toContain(line);
});
