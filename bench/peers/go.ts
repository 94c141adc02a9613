import { type ChildProcess, execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

/** Kept from run to run: to build Centrifugo takes minutes. */
const BIN = join(tmpdir(), "bellwire-bench-bin");

export interface GoProgram {
  /** What `go install` takes: `module@version`. */
  module: string;
  name: string;
}

/** Where the program is; built where it is not there yet. Rejects with why it cannot be had. */
export async function installGoProgram({ module, name }: GoProgram): Promise<string> {
  const path = join(BIN, name);
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere)
    await promisify(execFile)("go", ["install", module], {
      env: { ...process.env, GOBIN: BIN },
    }).catch((err: Error & { code?: string }) => {
      const isMissing = err.code === "ENOENT";
      const why = isMissing
        ? "there is no Go here to build it with"
        : `\`go install ${module}\` fails here`;
      throw new Error(`${name} is left out: ${why}`, { cause: err });
    });
  return path;
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

/** Resolves when the process takes connections on the port. */
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
