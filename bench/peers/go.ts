import { type ChildProcess, execFile } from "node:child_process";
import { access, mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

/** Kept between runs, because building Centrifugo takes minutes. */
const BIN = join(tmpdir(), "bellwire-bench-bin");

export interface GoProgram {
  name: string;
  /** The command's path for `go install`. */
  package: string;
  version: string;
  /** For `go build`. */
  tags?: string[];
}

/** The path of the program, which is built if it does not exist. Rejects with the reason if it cannot be built. */
export async function installGoProgram(program: GoProgram): Promise<string> {
  const path = join(BIN, `${program.name}-${program.version}`);
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere)
    await build(program, path).catch((err: Error & { code?: string }) => {
      const isMissing = err.code === "ENOENT";
      const why = isMissing
        ? "there is no Go here to build it with"
        : `Go cannot build ${program.package}@${program.version} here`;
      throw new Error(`${program.name} is left out: ${why}`, { cause: err });
    });
  return path;
}

/** Like `go install`, but without the list of the module's versions, which not every proxy has. */
async function build({ package: name, version, tags = [] }: GoProgram, path: string) {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-bench-go-"));
  const go = (...args: string[]) => promisify(execFile)("go", args, { cwd: folder });
  try {
    await go("mod", "init", "peer");
    await go("get", `${name}@${version}`);
    await go("build", "-tags", tags.join(), "-o", path, name);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || !address) throw new Error("no port");
  return address.port;
}

const START_LIMIT_MS = 10_000;

/** Resolves when the process accepts connections on the port. */
export async function waitForPort(child: ChildProcess, port: number): Promise<void> {
  const start = performance.now();
  while (performance.now() - start < START_LIMIT_MS && child.exitCode === null) {
    const isOpen = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isOpen) return;
    await delay(50);
  }
  throw new Error(`${child.spawnfile} did not start`);
}
