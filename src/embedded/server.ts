import { spawn } from "node:child_process";
import { open, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Logger } from "../logger.ts";
import { asAccount, runAs } from "./account.ts";
import type { Place } from "./place.ts";
import { poll, readPostmaster, servesFolder, urlOf } from "./postmaster.ts";

/** A running server on 127.0.0.1. `close` ends its sessions and waits for a clean shutdown. It may be called twice. */
export type Server = { port: number; url(database: string): string; close(): Promise<void> };

/** The start includes recovery after a crash. pg_ctl uses the same limit. */
const START_LIMIT_MS = 60_000;

/**
 * Starts a server in a prepared place. It has its own session, so that a Ctrl-C in the terminal reaches us but not the
 * database, which must outlive our last write. It also survives a kill -9 of this process; then `findServer` finds it.
 * Port 0 picks a free port.
 */
export async function startServer(options: {
  place: Place;
  port: number;
  settings?: Record<string, string | number>;
  log: Logger;
}): Promise<Server> {
  const { place, log } = options;
  const data = join(place.dir, "data");
  const logFile = join(place.dir, "server.log");
  const port = await claimPort(options.port);
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    timezone: "UTC",
    ...options.settings,
  };

  // Removed and created again ("x"), because root must not write through a link that the account may have put there.
  await rm(logFile, { force: true });
  const output = await open(logFile, "wx", 0o600);
  const child = spawn(
    place.binaries.postgres,
    ["-D", data, "-p", `${port}`, ...Object.entries(settings).map(([k, v]) => `--${k}=${v}`)],
    { ...asAccount(place.account), detached: true, stdio: ["ignore", output.fd, output.fd] },
  );
  await output.close();
  child.unref();

  // How the process ended; undefined while it runs.
  let end: string | undefined;
  let isExpected = true; // until the server is ready, its end is thrown, not logged
  const ended = new Promise<void>((resolve) => {
    const onEnd = (text: string) => {
      end ??= text;
      if (!isExpected) log.error({ end, logFile }, "the embedded database exited unexpectedly");
      resolve();
    };
    child.once("error", (err) => onEnd(err.message));
    child.once("exit", (code, signal) => onEnd(signal ?? `exit code ${code}`));
  });
  // If this process exits before `close` (an unexpected error, a shutdown that took too long), the server must end too.
  const interrupt = () => void child.kill("SIGINT");
  process.once("exit", interrupt);
  void ended.then(() => process.off("exit", interrupt));

  async function stop(): Promise<void> {
    isExpected = true;
    if (end !== undefined) return;
    child.ref();
    // Without its pid file (the folder was removed) only a signal can stop it.
    if (!(await stopServer(place))) child.kill("SIGINT");
    await ended;
  }

  const isSettled = await poll(START_LIMIT_MS, async () => {
    const postmaster = await readPostmaster(data);
    const isReady = postmaster?.pid === child.pid && postmaster?.isReady;
    return isReady || end !== undefined || undefined;
  });
  if (!isSettled) await stop();
  if (end !== undefined) {
    const lines = (await readFile(logFile, "utf8")).trim().split("\n");
    const text = lines.slice(-8).join("\n");
    throw new Error(`PostgreSQL did not start in ${data} (${end}). The end of its log:\n${text}`);
  }
  isExpected = false;
  return { port, url: (database) => urlOf(port, database), close: once(stop) };
}

/**
 * Finds a server that already runs on the data, for example after its Bellwire was killed. Waits for one that is just starting
 * or stopping. `close` stops it like our own child.
 */
export async function findServer(place: Place): Promise<Server | undefined> {
  const data = join(place.dir, "data");
  const settled = await poll(START_LIMIT_MS, async () => {
    const postmaster = await readPostmaster(data);
    return !postmaster || postmaster.isReady ? { postmaster } : undefined;
  });
  const port = settled?.postmaster?.port;
  // The file may be left from a crash, and another program may have its pid now.
  if (!port || !(await servesFolder(port, data))) return undefined;
  const close = once(async () => void (await stopServer(place)));
  return { port, url: (database) => urlOf(port, database), close };
}

/** All callers get the promise of the first call. */
export function once(close: () => Promise<void>): () => Promise<void> {
  let closed: Promise<void> | undefined;
  return () => {
    closed ??= close();
    return closed;
  };
}

/**
 * "Fast" means SIGINT: the server ends its sessions and writes a checkpoint. pg_ctl can send that on Windows too. False if no
 * server runs on the folder.
 */
async function stopServer({ dir, binaries, account }: Place): Promise<boolean> {
  const data = join(dir, "data");
  if (!(await readPostmaster(data))) return false;
  await runAs(account, binaries.pgCtl, ["stop", "-w", "-m", "fast", "-D", data]).catch(
    async (err: unknown) => {
      if (await readPostmaster(data)) throw err; // otherwise it was killed meanwhile, and has ended
    },
  );
  return true;
}

async function claimPort(port: number): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", reject).listen(port, "127.0.0.1", resolve);
  }).catch((err: unknown) => {
    throw new Error(
      `Port ${port} on 127.0.0.1 is in use. Stop the program that uses it, or set EMBEDDED_PG_PORT to another port.`,
      { cause: err },
    );
  });
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === "object" && address ? address.port : port;
}
