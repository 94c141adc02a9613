import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { readConfig } from "../../src/config.ts";
import { startEmbedded } from "../../src/embedded/embedded.ts";
import { createLogger } from "../../src/logger.ts";
import { loadConfig } from "../../src/main.ts";
import { readable } from "./readable.ts";

/**
 * `npm run dev`: holds the embedded PostgreSQL, unless DATABASE_URL names another, while `tsx watch` starts service.ts again at
 * each change. A signal ends the service, then the server.
 */
const config = loadConfig(readConfig);
const log = createLogger(config.logLevel, { write: print });
const stopping = new AbortController();
let stoppingAt = 0;
const stop = () => {
  // A second signal does not wait for the server. One Ctrl-C arrives twice, from the terminal and from npm.
  if (stopping.signal.aborted) {
    if (performance.now() - stoppingAt > 500) process.exit(1);
    return;
  }
  stoppingAt = performance.now();
  stopping.abort();
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
process.stdout.on("error", () => stopping.abort());

function print(line: string) {
  process.stdout.write(`${readable(line.trimEnd())}\n`);
}

const { database } = config;
const server = database.kind === "embedded" ? await startEmbedded({ ...database, log }) : undefined;
try {
  if (!stopping.signal.aborted) await watch(server ? [server.url, server.dir] : []);
} finally {
  await server?.close();
}
process.exit(stopping.signal.aborted ? 0 : 1);

async function watch(serverArgs: string[]) {
  const tsx = fileURLToPath(import.meta.resolve("tsx/cli"));
  const service = fileURLToPath(new URL("service.ts", import.meta.url));
  const watched = ["migrations", "sql", "packages/client/src"].flatMap((folder) => [
    "--include",
    `${folder}/**`,
  ]);
  const watcher = spawn(
    process.execPath,
    [tsx, "watch", "--clear-screen=false", ...watched, service, ...serverArgs],
    {
      // tsx kills the service at a second signal, and Ctrl-C would send one to each process of our group.
      detached: true,
      env: { DRAIN_SECONDS: "0", ...process.env },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const end = () => void watcher.kill();
  stopping.signal.addEventListener("abort", end);
  process.once("exit", end);
  createInterface({ input: watcher.stdout }).on("line", print);
  await once(watcher, "close");
}
