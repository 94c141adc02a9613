import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openProject } from "./project.ts";

let project: Awaited<ReturnType<typeof openProject>>;
beforeAll(async () => {
  project = await openProject("drizzle");
});
afterAll(() => project?.close());

const DROP = "drop schema public cascade; create schema public";

test("a row that Drizzle inserts rings", async () => {
  await project.script("db:deploy");
  expect(await project.insert()).toBe(1);
});

test("drizzle-kit migrate does not make tables again of which its own schema says that they are there", async () => {
  await project.query(DROP);
  await project.run("npx", "drizzle-kit", "migrate");
  expect(await project.query("select to_regclass('public.tasks') as tasks")).toEqual([
    { tasks: null },
  ]);
});

test("recreated tables are silent and status says so, until the rules are applied again", async () => {
  await project.query(`${DROP}; drop schema drizzle cascade`);
  await project.run("npx", "drizzle-kit", "migrate");
  expect(await project.insert()).toBe(0);
  expect(await project.bellwire("status", "bellwire/rules")).toMatchObject({
    code: 1,
    output: expect.stringContaining("response_received: its table public.responses was dropped"),
  });
  expect(await project.bellwire("rules", "apply", "bellwire/rules")).toMatchObject({ code: 0 });
  expect(await project.insert()).toBe(1);
});

test("drizzle-kit push leaves rules and the schema bellwire alone", async () => {
  const schema = join(project.folder, "schema.ts");
  const text = await readFile(schema, "utf8");
  await writeFile(schema, text.replace("title: text()", "price: integer(),\n  title: text()"));
  expect(await project.script("db:push")).toContain("Changes applied");
  expect(await project.insert()).toBe(1);
});

test.each([
  ["schemaFilter with bellwire", `schemaFilter: ["public", "bellwire"]`, 'DROP SCHEMA "bellwire"'],
  ["entities.roles", "entities: { roles: true }", 'DROP ROLE "bellwire_owner"'],
])("with %s, drizzle-kit push wants to drop what is not in schema.ts", async (_, setting, drop) => {
  const config = await readFile(join(project.folder, "drizzle.config.ts"), "utf8");
  const changed = config.replace("dialect:", `${setting},\n  dialect:`);
  await writeFile(join(project.folder, "other.config.ts"), changed);
  // --strict asks before it does anything, and there is nobody to answer.
  const push = ["drizzle-kit", "push", "--config=other.config.ts", "--strict", "--verbose"];
  expect((await project.end("npx", ...push)).output).toContain(drop);
  expect(await project.insert()).toBe(1);
});
