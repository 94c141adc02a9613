import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openProject } from "./project.ts";

let project: Awaited<ReturnType<typeof openProject>>;
beforeAll(async () => {
  project = await openProject("psql");
});
afterAll(() => project?.close());

/** Runs a line of the page in a shell. */
const sh = (line: string) => project.run("sh", "-c", line);
const migrate = () =>
  sh('psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -1 -q -f migrations/0001_marketplace.sql');

test("a row that psql inserts rings, where psql also applied Bellwire and the rules", async () => {
  await migrate();
  await sh("npx bellwire plan > bellwire.sql");
  await sh('psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -q -f bellwire.sql');
  await project.run("./rules.sh");
  expect(await project.insert()).toBe(1);
  expect((await project.bellwire("status")).code).toBe(0);
  expect((await project.bellwire("rules", "diff", "bellwire/rules")).code).toBe(0);
});

test("tables that psql recreates are silent, until the rules are applied again", async () => {
  await project.query("drop schema public cascade; create schema public");
  await migrate();
  expect(await project.insert()).toBe(0);
  await project.run("./rules.sh");
  expect(await project.insert()).toBe(1);
});

test("an error in one file leaves nothing of the others, and fails the script", async () => {
  await writeFile(
    join(project.folder, "bellwire/rules/a.sql"),
    "select bellwire.drop_rule('response_received');",
  );
  await writeFile(join(project.folder, "bellwire/rules/z.sql"), "select missing;");
  expect((await project.end("./rules.sh")).code).not.toBe(0);
  expect(await project.insert()).toBe(1);
});

test("without ON_ERROR_STOP psql rolls everything back and exits with 0", async () => {
  await sh('cat bellwire/rules/*.sql | psql "$DATABASE_URL" -1 -q -f -');
  expect(await project.insert()).toBe(1);
});
