import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openProject } from "./project.ts";

let project: Awaited<ReturnType<typeof openProject>>;
beforeAll(async () => {
  project = await openProject("node-pg-migrate");
});
afterAll(() => project?.close());

test("a row of a table that node-pg-migrate made rings", async () => {
  await project.script("db:deploy");
  expect(await project.insert()).toBe(1);
});

test("after down and up the rule is silent and status says so, until it is applied again", async () => {
  await project.run("npx", "node-pg-migrate", "down");
  await project.run("npx", "node-pg-migrate", "up");
  expect(await project.insert()).toBe(0);
  expect(await project.bellwire("status", "bellwire/rules")).toMatchObject({
    code: 1,
    output: expect.stringContaining("response_received: its table public.responses was dropped"),
  });
  await project.script("db:redo");
  expect(await project.insert()).toBe(1);
  expect((await project.bellwire("status", "bellwire/rules")).code).toBe(0);
});

test("what follows a comment about the down migration is not run by up, and is run by down", async () => {
  await writeFile(
    join(project.folder, "migrations/1767225600001_rule.sql"),
    `-- Up Migration
-- Down migrations are not possible here: nobody can be untold.
select bellwire.notify('1', 'told.once');
`,
  );
  const count = "select count(*)::integer from bellwire.notifications where type = 'told.once'";
  await project.run("npx", "node-pg-migrate", "up");
  expect(await project.query(count)).toEqual([{ count: 0 }]);
  await project.run("npx", "node-pg-migrate", "down");
  expect(await project.query(count)).toEqual([{ count: 1 }]);
});
