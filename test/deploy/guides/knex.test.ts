import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openProject } from "./project.ts";

let project: Awaited<ReturnType<typeof openProject>>;
beforeAll(async () => {
  project = await openProject("knex");
});
afterAll(() => project?.close());

test("a row that Knex inserts rings", async () => {
  await project.script("db:deploy");
  expect(await project.insert()).toBe(1);
});

test("after a rollback and another migration the rule is silent and status says so, until it is applied again", async () => {
  await project.run("npx", "knex", "migrate:rollback");
  await project.run("npx", "knex", "migrate:latest");
  expect(await project.insert()).toBe(0);
  expect(await project.bellwire("status", "bellwire/rules")).toMatchObject({
    code: 1,
    output: expect.stringContaining("response_received: its table public.responses was dropped"),
  });
  await project.script("db:reset");
  expect(await project.insert()).toBe(1);
  expect((await project.bellwire("status", "bellwire/rules")).code).toBe(0);
});

test("knex.raw changes a rule's text without an error", async () => {
  await project.run("node", "--input-type=module", "--eval", DEFINE_WITH_RAW);
  const [rule] = await project.query<{ query: string }>(
    "select query from bellwire.rules where name = 'asked'",
  );
  expect(rule?.query).toContain("'Can you do it$1' as title");
});

test("install.sql in a migration installs everything, with its question marks escaped", async () => {
  await project.query(
    "drop schema bellwire cascade; drop schema public cascade; create schema public",
  );
  const migration = (text: string) => `import { readFile } from "node:fs/promises";
    export async function up(knex) {
      const text = await readFile("node_modules/bellwire/dist/install.sql", "utf8");
      await knex.raw(${text});
    }
    export async function down() {}`;
  const path = join(project.folder, "migrations/20260102000000_bellwire.js");
  await writeFile(path, migration("text"));
  expect((await project.end("npx", "knex", "migrate:latest")).code).toBe(1);
  await writeFile(path, migration(String.raw`text.replaceAll("?", "\\?")`));
  await project.run("npx", "knex", "migrate:latest");
  expect((await project.bellwire("status")).code).toBe(0);
  await project.script("db:deploy");
  expect(await project.insert()).toBe(1);
});

const DEFINE_WITH_RAW = `
  import createKnex from "knex";
  import settings from "./knexfile.js";
  const knex = createKnex(settings);
  await knex.raw(\`select bellwire.define_rule('asked', 'public.responses', 'insert', $$
    select r.user_id as recipient_id, 'asked' as type, 'Can you do it?' as title from new_rows r
  $$)\`);
  await knex.destroy();`;
