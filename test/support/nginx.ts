import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

const PROGRAM = "/usr/sbin/nginx";
const DEBIANS = "/etc/nginx/nginx.conf";

export const hasNginx = existsSync(PROGRAM) && existsSync(DEBIANS);

/**
 * Debian's nginx with Debian's configuration. Its sites are replaced by one server with the given locations and additions to the
 * http block. Ended when the test ends.
 */
export async function startNginx({ locations, http = "" }: { locations: string; http?: string }) {
  const port = await findPort();
  const folder = await mkdtemp(join(tmpdir(), "bellwire-nginx-"));
  await chmod(folder, 0o755); // its workers run as another user
  // Debian's own paths belong to root.
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join("\n");
  const server = `${temporary}\n${http}\nserver {\n  listen 127.0.0.1:${port};\n${locations}\n}`;
  const config = readFileSync(DEBIANS, "utf8")
    .replace(/^pid .*$/m, `pid ${folder}/nginx.pid;`)
    .replaceAll(/(access|error)_log [^;\s]+/g, `$1_log ${folder}/$1.log`)
    .replace(/^.*include .*sites-enabled.*$/m, () => server)
    .replace(/^.*include .*conf\.d.*$/m, "")
    // Installed modules, which it looks for in the parent folder.
    .replace(/^.*include .*modules-enabled.*$/m, "");
  await writeFile(join(folder, "nginx.conf"), config);
  const args = ["-p", folder, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"];
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(child, "exit");
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  onTestFinished(async () => {
    child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true });
  });

  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx did not start:\n${said}`);
    const answer = await fetch(`${url}/is-nginx-up`).catch(() => undefined);
    if (answer) return { url, port };
  }
}

async function findPort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
