import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openProject } from "./project.ts";

/** Prisma's command line, with the WebAssembly build of its schema engine instead of the download. */
let project: Awaited<ReturnType<typeof openProject>>;
beforeAll(async () => {
  project = await openProject("prisma", { PRISMA_SCHEMA_ENGINE_BINARY: "schema-engine.mjs" });
});
afterAll(() => project?.close());

const prisma = (...args: string[]) => project.end("npx", "prisma", ...args);
const SAME = "Already in sync";

/** With the tool's own commands the rule is silent, and status says so. */
async function expectSilence() {
  expect(await project.insert()).toBe(0);
  expect(await project.bellwire("status", "bellwire/rules")).toMatchObject({
    code: 1,
    output: expect.stringContaining("response_received: its table public.responses was dropped"),
  });
}

test("a row that Prisma inserts rings", async () => {
  await project.script("db:deploy");
  expect(await project.insert()).toBe(1);
});

test("Prisma sees neither the triggers nor the schema bellwire", async () => {
  expect((await prisma("migrate", "dev")).output).toContain(SAME);
  const difference = ["--from-config-datasource", "--to-schema", "prisma/schema.prisma"];
  expect((await prisma("migrate", "diff", ...difference)).output).toContain("No difference");
  const { output } = await prisma("db", "pull", "--print");
  expect(output).toContain("model Task {");
  expect(output).not.toMatch(/bellwire|notifications/);
});

test("a column that migrate dev adds leaves the rule as it is", async () => {
  await changeSchema("title      String", "title      String\n  price      Int @default(0)");
  expect(await prisma("migrate", "dev", "--name", "price")).toMatchObject({ code: 0 });
  expect(await project.insert()).toBe(1);
});

test("after migrate reset the rule is silent, until it is applied again", async () => {
  expect(await prisma("migrate", "reset", "--force")).toMatchObject({ code: 0 });
  await expectSilence();
  await project.script("db:reset");
  expect(await project.insert()).toBe(1);
});

test("migrate reset takes the right to use schema public from all other roles", async () => {
  const mayUse = "select has_schema_privilege('bellwire_service', 'public', 'usage') as may";
  expect(await project.query(mayUse)).toEqual([{ may: false }]);
});

test("after db push --force-reset the rule is silent, until it is applied again", async () => {
  expect(await prisma("db", "push", "--force-reset")).toMatchObject({ code: 0 });
  await expectSilence();
  await project.script("db:push");
  expect(await project.insert()).toBe(1);
});

test("a rule inside a migration passes migrate deploy and fails migrate dev", async () => {
  const folder = join(project.folder, "prisma/migrations/20990101000000_rule");
  await mkdir(folder);
  const rule = await readFile(join(project.folder, "bellwire/rules/response_received.sql"));
  await writeFile(join(folder, "migration.sql"), rule);
  await prisma("migrate", "reset", "--force");
  expect(await prisma("migrate", "deploy")).toMatchObject({ code: 0 });
  expect(await project.insert()).toBe(1);
  const { code, output } = await prisma("migrate", "dev");
  expect(code).toBe(1);
  expect(output).toMatch(/P3006[\s\S]*schema "bellwire" does not exist/);
});

/** The installation as one SQL text, which the package has. */
const INSTALL = "node_modules/bellwire/dist/install.sql";

test("…unless migrations.initShadowDb installs Bellwire there", async () => {
  const path = join(project.folder, "prisma.config.ts");
  const before = await readFile(path, "utf8");
  const setting = `experimental: { externalTables: true },
    migrations: { initShadowDb: readFileSync("${INSTALL}", "utf8") },`;
  const after = before.replace("schema:", `${setting}\n  schema:`);
  await writeFile(path, `import { readFileSync } from "node:fs";\n${after}`);
  expect((await prisma("migrate", "dev")).output).toContain(SAME);
  await writeFile(path, before);
});

test("with install.sql as an earlier migration it passes both, also in a database that has Bellwire", async () => {
  const folder = join(project.folder, "prisma/migrations/20250101000000_bellwire");
  await mkdir(folder);
  const install = await readFile(join(project.folder, "node_modules/bellwire/dist/install.sql"));
  await writeFile(join(folder, "migration.sql"), install);
  for (const before of ["select", "drop schema bellwire cascade"]) {
    await project.query(before);
    expect(await prisma("migrate", "reset", "--force")).toMatchObject({ code: 0 });
    expect(await project.insert()).toBe(1);
    const dev = await prisma("migrate", "dev");
    expect(dev).toMatchObject({ code: 0, output: expect.stringContaining(SAME) });
    expect(await project.bellwire("status")).toMatchObject({ code: 0 });
  }
});

test("with the schema bellwire in its list, migrate dev wants to drop Bellwire's tables", async () => {
  await changeSchema(
    'provider = "postgresql"',
    'provider = "postgresql"\n  schemas = ["public", "bellwire"]',
  );
  await changeSchema("responses  Response[]", 'responses  Response[]\n  @@schema("public")');
  await changeSchema('@@map("responses")', '@@map("responses")\n  @@schema("public")');
  expect((await prisma("migrate", "dev")).output).toContain(
    "You are about to drop the `notifications` table",
  );
});

async function changeSchema(from: string, to: string) {
  const path = join(project.folder, "prisma/schema.prisma");
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replace(from, to));
}
