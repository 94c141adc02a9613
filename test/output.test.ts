import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { asService } from "../src/db/pool.ts";
import { createMinter } from "../src/http/auth/sign.ts";
import { CLI } from "./support/cli.ts";
import { createDatabase, type TestDatabase } from "./support/database.ts";

const SECRET = "a secret that is long enough for HS256";
const mint = createMinter({
  key: { kind: "secret", secret: SECRET },
  issuer: undefined,
  audience: undefined,
  userClaim: "sub",
});
/** DRAIN_SECONDS is 0; a pipe that nobody reads gets half a second. */
const END_LIMIT_MS = 4000;

let folder: string;
let database: TestDatabase;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bellwire-output-"));
  database = await createDatabase();
});
afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

/** An output that accepts no line, to be given to a process. */
type Sink = () => number;

let sinks = 0;

function makePipe(): string {
  const path = join(folder, `pipe${++sinks}`);
  spawnSync("mkfifo", [path]);
  return path;
}

function fullDisk(): number {
  return openSync("/dev/full", "w");
}

function unreadPipe(): number {
  const path = makePipe();
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(both));
  fill(both);
  return openSync(path, "w");
}

function closedPipe(): number {
  const path = makePipe();
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, "w");
  closeSync(reader);
  return writer;
}

function fill(pipe: number): void {
  try {
    for (;;) writeSync(pipe, "x".repeat(4096));
  } catch (err) {
    expect(err).toMatchObject({ code: "EAGAIN" });
  }
}

const SINKS: [name: string, Sink][] = [
  ["a full disk", fullDisk],
  ["a pipe that nobody reads", unreadPipe],
  ["a closed pipe", closedPipe],
];

interface Launched {
  child: ChildProcess;
  ended: Promise<{ code: number | null; signal: string | null }>;
}

/** Starts the real CLI with these outputs. "read" is a pipe that is read. */
function launch(
  args: string[],
  env: Record<string, string>,
  stdout: Sink | "read",
  stderr: Sink | "read",
): Launched & { said: { stdout: string; stderr: string } } {
  const given = [stdout, stderr].map((sink) => (sink === "read" ? ("pipe" as const) : sink()));
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: folder, ...env },
    stdio: ["ignore", ...given],
  });
  for (const fd of given) if (typeof fd === "number") closeSync(fd);
  const said = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk) => {
    said.stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    said.stderr += chunk;
  });
  const ended = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, ended, said };
}

async function startService(stdout: Sink | "read", stderr: Sink | "read" = "read") {
  const [port, metricsPort] = [await findPort(), await findPort()];
  const env = {
    DATABASE_URL: asService(database.url),
    JWT_SECRET: SECRET,
    HOST: "127.0.0.1",
    PORT: `${port}`,
    METRICS_PORT: `${metricsPort}`,
    DRAIN_SECONDS: "0",
  };
  const launched = launch(["start"], env, stdout, stderr);
  const url = `http://127.0.0.1:${port}`;
  const isReady = async () =>
    (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1000) }).catch(() => undefined))
      ?.status;
  await expect.poll(isReady, { timeout: 15_000 }).toBe(200);
  const headers = { authorization: `Bearer ${await mint("1")}` };
  return {
    ...launched,
    /** Requests the counts. Every response adds a line to the log. */
    async ask() {
      const response = await fetch(`${url}/api/notifications/unread-count`, {
        headers,
        signal: AbortSignal.timeout(5000),
      });
      await response.text();
      return response.status;
    },
    async dropped(): Promise<number> {
      const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      return Number(/^bellwire_log_lines_dropped_total (\d+)$/m.exec(page)?.[1]);
    },
    /** Ends it, and returns its output until then. */
    async stop(signal: NodeJS.Signals = "SIGTERM") {
      const at = performance.now();
      launched.child.kill(signal);
      const end = await launched.ended;
      return { ...end, ms: performance.now() - at };
    },
  };
}

async function findPort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address !== "object" || !address) throw new Error("no port");
  return address.port;
}

describe.each(SINKS)("with %s as standard output", (name, sink) => {
  test("the service starts, serves and ends", async () => {
    const service = await startService(sink);
    for (let i = 0; i < 100; i++) expect(await service.ask()).toBe(200);
    if (name === "a pipe that nobody reads") expect(await service.dropped()).toBe(0);
    else expect(await service.dropped()).toBeGreaterThanOrEqual(100);
    const { code, ms } = await service.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(END_LIMIT_MS);
  });

  test("as standard error too, the service does the same", async () => {
    const service = await startService(sink, sink);
    for (let i = 0; i < 10; i++) expect(await service.ask()).toBe(200);
    const { code, ms } = await service.stop("SIGINT");
    expect(code).toBe(0);
    expect(ms).toBeLessThan(END_LIMIT_MS);
  });

  test("a service that cannot start exits with the status of the reason", async () => {
    const wrong = launch(["start"], { PORT: "x" }, sink, sink);
    expect(await wrong.ended).toEqual({ code: 78, signal: null });
    const env = { DATABASE_URL: asService(database.url), JWT_SECRET: SECRET };
    const taken = launch(["start"], { ...env, METRICS_PORT: "1", HOST: "192.0.2.1" }, sink, sink);
    expect(await taken.ended).toEqual({ code: 2, signal: null });
  });
});

test("a command whose reader closes the pipe ends silently; one that cannot write fails", async () => {
  const env = { DATABASE_URL: database.url, JWT_SECRET: SECRET };
  const enough = launch(["plan", "--help"], env, closedPipe, "read");
  expect(await enough.ended).toEqual({ code: 0, signal: null });
  expect(enough.said.stderr).toBe("");
  const full = launch(["token", "1"], env, fullDisk, "read");
  expect(await full.ended).toEqual({ code: 2, signal: null });
  expect(full.said.stderr).toMatch(/ENOSPC/);
});

test("all lines logged before the exit are written, and a pipe that is read again has them all", async () => {
  const path = makePipe();
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(both));
  fill(both);
  const service = await startService(() => openSync(path, "w"));
  for (let i = 0; i < 20; i++) expect(await service.ask()).toBe(200);
  const bytes = Buffer.alloc(65_536);
  let text = "";
  const read = () => {
    try {
      text += bytes.toString("utf8", 0, readSync(both, bytes));
    } catch {
      // Nothing more for now.
    }
    return text;
  };
  await expect.poll(() => read().match(/"answered"/g)?.length, { timeout: 5000 }).toBe(20);
  const stopping = service.stop();
  await expect.poll(read, { timeout: 5000 }).toContain('"stopping');
  expect(await stopping).toMatchObject({ code: 0 });
  read();
  const lines = text.replace(/^x*/, "").trimEnd().split("\n");
  for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
});

test("when a disk has room again, lines are written again, and the first says how many were dropped", async (context) => {
  const disk = join(folder, "disk");
  spawnSync("mkdir", [disk]);
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]);
  if (mounted.status !== 0) return context.skip("needs the right to mount a disk");
  onTestFinished(() => void spawnSync("umount", ["-l", disk]));
  const log = join(disk, "log");
  const ballast = join(disk, "ballast");
  await writeFile(ballast, "x".repeat(40_000));
  const service = await startService(() => openSync(log, "a"));
  while ((await service.dropped()) === 0) expect(await service.ask()).toBe(200);
  for (let i = 0; i < 100; i++) expect(await service.ask()).toBe(200);

  await truncate(ballast);
  expect(await service.ask()).toBe(200);
  await expect.poll(() => readFileSync(log, "utf8")).toContain("lines were dropped");
  const dropped = await service.dropped();
  expect(await service.stop()).toMatchObject({ code: 0 });
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  const parsed = lines.map((line) => {
    try {
      return JSON.parse(line);
    } catch {
      return undefined;
    }
  });
  // The line that was being written when the disk became full.
  expect(parsed.filter((line) => line === undefined).length).toBeLessThanOrEqual(1);
  expect(parsed.find((line) => line?.msg.includes("lines were dropped")).lines).toBe(dropped);
  expect(parsed.at(-1).msg).toContain("stopping");
});
