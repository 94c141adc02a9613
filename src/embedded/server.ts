import { spawn } from "node:child_process";
import { open, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Logger } from "../logger.ts";
import { asAccount, runAs } from "./account.ts";
import type { Place } from "./place.ts";
import { poll, readPostmaster, servesFolder, urlOf } from "./postmaster.ts";

/** A running server on 127.0.0.1. `close` cuts its clients, waits for a clean end and may be called twice. */
export type Server = { port: number; url(database: string): string; close(): Promise<void> };

/** Recovery after a crash is part of the start. pg_ctl's own limits are 60 s as well. */
const START_LIMIT_MS = 60_000;

/**
 * Starts a server in a prepared place, in a session of its own: a Ctrl-C in the terminal reaches us and not the
 * database, which must outlive our last write. It also outlives a kill -9 of us; `findServer` finds it then.
 * Port 0 picks a free one.
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

  // Removed and made anew ("x"): as root we must not write through a link that the account may have put there.
  await rm(logFile, { force: true });
  const output = await open(logFile, "wx", 0o600);
  const child = spawn(
    place.binaries.postgres,
    ["-D", data, "-p", `${port}`, ...Object.entries(settings).map(([k, v]) => `--${k}=${v}`)],
    { ...asAccount(place.account), detached: true, stdio: ["ignore", output.fd, output.fd] },
  );
  await output.close();
  child.unref();

  // Set when the process is gone; the text says how.
  let end: string | undefined;
  let isExpected = true; // until it is ready, its end is thrown, not logged
  const ended = new Promise<void>((resolve) => {
    const onEnd = (text: string) => {
      end ??= text;
      if (!isExpected) log.error({ end, logFile }, "the embedded database ended by itself");
      resolve();
    };
    child.once("error", (err) => onEnd(err.message));
    child.once("exit", (code, signal) => onEnd(signal ?? `exit code ${code}`));
  });
  // Whatever ends us before `close` (a mistake, an end that took too long): it is told to end, too.
  const tell = () => void child.kill("SIGINT");
  process.once("exit", tell);
  void ended.then(() => process.off("exit", tell));

  async function stop(): Promise<void> {
    isExpected = true;
    if (end !== undefined) return;
    child.ref();
    // Without its pid file (someone removed the folder) only a signal reaches it.
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
    throw new Error(`PostgreSQL did not start in ${data} (${end}). Its last words:\n${text}`);
  }
  isExpected = false;
  return { port, url: (database) => urlOf(port, database), close: once(stop) };
}

/**
 * Finds a server that already runs on the place's data, such as one whose Bellwire was killed, and waits for one
 * that is just starting or stopping. Its `close` stops it like our own child.
 */
export async function findServer(place: Place): Promise<Server | undefined> {
  const data = join(place.dir, "data");
  const settled = await poll(START_LIMIT_MS, async () => {
    const postmaster = await readPostmaster(data);
    return !postmaster || postmaster.isReady ? { postmaster } : undefined;
  });
  const port = settled?.postmaster?.port;
  // The file may be left from a crash, and its pid long be another program's.
  if (!port || !(await servesFolder(port, data))) return undefined;
  const close = once(async () => void (await stopServer(place)));
  return { port, url: (database) => urlOf(port, database), close };
}

/** Every caller gets the first call's promise. */
export function once(close: () => Promise<void>): () => Promise<void> {
  let closed: Promise<void> | undefined;
  return () => {
    closed ??= close();
    return closed;
  };
}

/**
 * "Fast" is SIGINT: sessions are cut, a checkpoint is written. pg_ctl knows how to say so on Windows too. False if
 * the folder knows of no running server.
 */
async function stopServer({ dir, binaries, account }: Place): Promise<boolean> {
  const data = join(dir, "data");
  if (!(await readPostmaster(data))) return false;
  await runAs(account, binaries.pgCtl, ["stop", "-w", "-m", "fast", "-D", data]).catch(
    async (err: unknown) => {
      if (await readPostmaster(data)) throw err; // else killed meanwhile: it is gone, if not cleanly
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
      `Port ${port} on 127.0.0.1 is not free. Stop what uses it, or choose another port in EMBEDDED_PG_PORT.`,
      { cause: err },
    );
  });
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === "object" && address ? address.port : port;
}
