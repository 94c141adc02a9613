import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, chmod, cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** A checkout that the test may edit. */
async function copyCheckout(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-dev-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755); // the embedded server's account must enter it
  for (const name of [
    ...["src", "sql", "migrations", "scripts", "packages/client/src"],
    ...["package.json", "tsconfig.json"],
  ])
    await cp(join(ROOT, name), join(folder, name), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** `npm run dev` there. */
async function startDev(folder: string) {
  const { scripts } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const env = { PATH: process.env.PATH ?? "", PORT: "0", METRICS_PORT: "0", EMBEDDED_PG_PORT: "0" };
  const child = spawn("/bin/sh", ["-c", scripts.dev], { cwd: folder, env });
  let said = "";
  for (const output of [child.stdout, child.stderr]) output.on("data", (text) => (said += text));
  const ended = once(child, "close");
  return { child, ended, said: () => said };
}

test("npm run dev applies an edit of sql/ on the same server, survives a refused migration, and leaves nothing running", async () => {
  const folder = await copyCheckout();
  const { child, ended, said } = await startDev(folder);
  const data = join(folder, ".bellwire/pg/data");
  const postmaster = async () =>
    Number.parseInt(await readFile(join(data, "postmaster.pid"), "utf8").catch(() => ""), 10);
  onTestFinished(async () => {
    child.kill();
    await ended;
  });
  const starts = () => said().match(/ started /g)?.length ?? 0;
  await expect.poll(said, { timeout: 30_000 }).toMatch(/psql postgres:\S+\n/);
  expect(starts()).toBe(1);
  const [, url = ""] = /psql (postgres:\S+)/.exec(said()) ?? [];
  const server = await postmaster();

  const migration = join(folder, "migrations/0001_schema.sql");
  const applied = await readFile(migration, "utf8");
  await appendFile(migration, "-- edited\n");
  await expect.poll(said, { timeout: 30_000 }).toContain(`rm -rf ${join(folder, ".bellwire/pg")}`);

  await writeFile(migration, applied);
  await appendFile(
    join(folder, "sql/public/preview.sql"),
    "\ncomment on function bellwire.preview is 'edited';\n",
  );
  await expect.poll(starts, { timeout: 30_000 }).toBeGreaterThan(1);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(
    "select obj_description('bellwire.preview'::regproc) as comment",
  );
  await client.end();
  expect(rows).toEqual([{ comment: "edited" }]);

  expect(await postmaster()).toBe(server);

  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  expect(await postmaster()).toBeNaN();
});
