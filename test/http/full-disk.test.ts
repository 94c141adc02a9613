import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createDatabase } from "../support/database.ts";
import { call, startService } from "../support/service.ts";

test("while the database's disk is full, marks get 503 and /readyz says why, until a write succeeds", async (context) => {
  const database = await createDatabase();
  onTestFinished(database.close);
  const [server] = await database.query<{ data_directory: string }>("show data_directory");
  const folder = await mkdtemp("/tmp/bellwire-disk-");
  await chmod(folder, 0o755);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  // All tests share the server's disk, so the marked table is on a small disk of its own.
  const owner = await stat(server?.data_directory ?? "").catch(() => undefined);
  const options = `size=1m,mode=0700,uid=${owner?.uid},gid=${owner?.gid}`;
  const mounted = owner && spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder]);
  if (!owner || mounted?.status !== 0) return context.skip("needs the right to mount a disk");
  onTestFinished(() => void spawnSync("umount", ["-l", folder]));
  const ballast = join(folder, "ballast");
  await writeFile(ballast, "x".repeat(700_000));
  const name = `disk_${process.pid}`;
  // The server needs an empty folder.
  spawnSync("mkdir", [join(folder, "space")]);
  spawnSync("chown", [`${owner.uid}:${owner.gid}`, join(folder, "space")]);
  await database.query(`create tablespace ${name} location '${join(folder, "space")}'`);
  onTestFinished(async () => {
    const admin = await createDatabase(undefined, { empty: true });
    await admin.query(`drop tablespace ${name}`);
    await admin.close();
  });
  onTestFinished(database.close);
  await database.query(`alter table bellwire.notifications set tablespace ${name}`);

  const fill = async () => {
    for (;;) await database.query("select bellwire.notify('1', 'test', body => repeat('x', 500))");
  };
  await expect(fill()).rejects.toMatchObject({ code: "53100" });
  const service = await startService({ databaseUrl: database.url });
  const ready = async () => {
    const response = await fetch(`${service.url}/readyz`);
    // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
    const body: any = await response.json();
    return { status: response.status, body };
  };
  expect(await ready()).toMatchObject({ status: 200, body: { warnings: [] } });

  // Each needs space for one more version of every row.
  const mark = () => call(service, "1", "/mark-all-read", { method: "POST" });
  expect(await mark()).toMatchObject({ status: 503, body: { code: "unavailable" } });
  expect(await ready()).toMatchObject({
    status: 200,
    body: {
      problems: [],
      warnings: [expect.stringMatching(/disk is full \(SQLSTATE 53100, last at 20/)],
    },
  });
  expect((await call(service, "1", "/unread-count")).status).toBe(200);
  expect((await ready()).body.warnings).toHaveLength(1);

  await rm(ballast);
  expect(await mark()).toMatchObject({ status: 200 });
  expect(await ready()).toMatchObject({ status: 200, body: { warnings: [] } });
});
