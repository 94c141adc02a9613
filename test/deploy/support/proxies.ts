import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished } from "vitest";
import { findPort } from "../../faults/support/ports.ts";
import { createCertificate } from "./certificate.ts";
import { overHttp1 } from "./tls-fetch.ts";

const run = promisify(execFile);

/** Where a proxy of a test is, and what is behind it. */
interface Place {
  folder: string;
  port: number;
  /** For HTTP without TLS. */
  plainPort: number;
  /** The service's port. */
  target: number;
}

interface Program {
  path: string;
  /** The files of `deploy/` that it needs. The first is its configuration. */
  files: string[];
  /** The shipped text with the ports and paths of the test. */
  adapt: (text: string, place: Place) => string;
  args: (place: Place) => string[];
  /** Checks the configuration, and fails if it is wrong. */
  check: (place: Place) => string[];
  /** Takes over the configuration again, as an operator does. */
  reload: (pid: number, place: Place) => Promise<unknown>;
  /** The shipped text with an idle time-out of three seconds. Undefined if it has none. */
  hasten: ((text: string) => string) | undefined;
}

const signal = (name: NodeJS.Signals) => async (pid: number) => process.kill(pid, name);
const configOf = ({ folder }: Place) => join(folder, "config");

const nginx: Program = {
  path: "/usr/sbin/nginx",
  files: ["nginx/nginx.conf", "nginx/bellwire.conf"],
  adapt: (text, { folder, port, plainPort, target }) =>
    text
      .replace("/run/nginx.pid", `${folder}/pid`)
      .replaceAll("/var/log/nginx", folder)
      .replaceAll("/etc/ssl/bell.example.com", folder)
      .replace("/etc/nginx/bellwire.conf", `${folder}/bellwire.conf`)
      .replace("listen 80;", `listen 127.0.0.1:${plainPort};`)
      .replace("listen 443 ssl http2", `listen 127.0.0.1:${port} ssl http2`)
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${target}`),
  args: (place) => ["-c", configOf(place), "-g", "daemon off;"],
  check: (place) => ["-t", "-c", configOf(place)],
  reload: signal("SIGHUP"),
  hasten: (text) => text.replace("proxy_read_timeout 60s", "proxy_read_timeout 3s"),
};

const caddy: Program = {
  path: "/usr/bin/caddy",
  files: ["caddy/Caddyfile"],
  adapt: (text, { folder, port, plainPort, target }) =>
    text
      .replace(
        "\tgrace_period",
        `\tadmin unix//${folder}/admin\n\thttp_port ${plainPort}\n\tskip_install_trust\n\tgrace_period`,
      )
      .replace("\tformat filter", `\toutput file ${folder}/caddy.log\n\t\tformat filter`)
      .replace(
        "bell.example.com {",
        `localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${folder}/fullchain.pem ${folder}/privkey.pem`,
      )
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${target}`),
  args: (place) => ["run", "--adapter", "caddyfile", "--config", configOf(place)],
  check: (place) => ["validate", "--adapter", "caddyfile", "--config", configOf(place)],
  reload: (_, place) => {
    const address = `unix/${place.folder}/admin`;
    const what = ["--adapter", "caddyfile", "--config", configOf(place), "--address", address];
    return run("/usr/bin/caddy", ["reload", "--force", ...what]);
  },
  hasten: undefined,
};

const haproxy: Program = {
  path: "/usr/sbin/haproxy",
  files: ["haproxy/haproxy.cfg"],
  adapt: (text, { folder, port, plainPort, target }) =>
    text
      .replace("/etc/haproxy/bell.example.com.pem", `${folder}/both.pem`)
      // It refuses to start where it may not open as many files; here that may be fewer than on a server.
      .replace("maxconn 20000", "maxconn 2000")
      .replace("log /dev/log local0", "log stdout format raw local0")
      .replace("bind :80", `bind 127.0.0.1:${plainPort}`)
      .replace("bind :443", `bind 127.0.0.1:${port}`)
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${target}`),
  args: (place) => ["-W", "-db", "-f", configOf(place)],
  check: (place) => ["-c", "-f", configOf(place)],
  reload: signal("SIGUSR2"),
  hasten: (text) => text.replaceAll(/(timeout (client|server)) 60s/g, "$1 3s"),
};

/** The modules that the head of the file names, and those that Debian turns on and the file uses. */
const APACHE_MODULES =
  "mpm_event authz_core setenvif log_config ssl http2 proxy proxy_http proxy_balancer lbmethod_byrequests headers slotmem_shm socache_shmcb alias deflate filter";

const apache: Program = {
  path: "/usr/sbin/apache2",
  files: ["apache/bellwire.conf"],
  adapt: (text, { folder, port, plainPort, target }) =>
    [
      "ServerRoot /usr/lib/apache2",
      ...APACHE_MODULES.split(" ")
        .filter((name) => existsSync(`/usr/lib/apache2/modules/mod_${name}.so`))
        .map((name) => `LoadModule ${name}_module modules/mod_${name}.so`),
      `Define APACHE_LOG_DIR ${folder}`,
      `PidFile ${folder}/pid`,
      `DefaultRuntimeDir ${folder}`,
      `ErrorLog ${folder}/error.log`,
      "ServerName localhost",
      `Listen 127.0.0.1:${port}`,
      text
        .replaceAll("/etc/ssl/bell.example.com", folder)
        .replaceAll("3999", `${plainPort}`)
        .replace("*:443", `127.0.0.1:${port}`)
        .replaceAll("127.0.0.1:3000", `127.0.0.1:${target}`),
    ].join("\n"),
  args: (place) => ["-DFOREGROUND", "-f", configOf(place)],
  check: (place) => ["-t", "-f", configOf(place)],
  reload: signal("SIGUSR1"),
  hasten: (text) => text.replace("timeout=60", "timeout=3"),
};

/** Debian's programs that have a file in `deploy/`. */
export const PROXIES = { nginx, Caddy: caddy, HAProxy: haproxy, Apache: apache } as const;

export type ProxyName = keyof typeof PROXIES;

export const isInstalled = (name: ProxyName) => existsSync(PROXIES[name].path);

/** Starts the proxy with its shipped file before the service's port. It ends with the test. */
export async function startProxy(name: ProxyName, target: number, { hasten = false } = {}) {
  const program = PROXIES[name];
  const folder = await mkdtemp(join(tmpdir(), "bellwire-proxy-"));
  await chmod(folder, 0o777); // some change from root to another user
  const place = { folder, port: await findPort(), plainPort: await findPort(), target };
  const ca = await createCertificate(folder);
  for (const [i, file] of program.files.entries()) {
    const shipped = readFileSync(`deploy/${file}`, "utf8");
    const text = hasten && program.hasten ? program.hasten(shipped) : shipped;
    const path = i === 0 ? configOf(place) : join(folder, file.split("/").at(-1) ?? "");
    await writeFile(path, program.adapt(text, place));
  }
  await run(program.path, program.check(place), { env: environment(folder) });

  const child = spawn(program.path, program.args(place), {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(folder),
  });
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.on("data", (chunk) => {
      said += chunk;
    });
  const ended = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGTERM");
    const cut = setTimeout(() => child.kill("SIGKILL"), 3000);
    await ended;
    clearTimeout(cut);
    await rm(folder, { recursive: true, force: true });
  });

  const url = `https://localhost:${place.port}`;
  await expect
    .poll(async () => {
      if (child.exitCode !== null) throw new Error(`${name} did not start:\n${said}`);
      return (await overHttp1(ca)(`${url}/api/notifications/unread-count`)).status;
    })
    .toBeGreaterThan(0);
  return {
    url,
    ca,
    reload: () => program.reload(child.pid ?? 0, place),
    /** Everything that it has logged, wherever. */
    async logged(): Promise<string> {
      const names = (await readdir(folder)).filter((file) => /\.?log$/.test(file));
      const texts = names.map((file) => readFile(join(folder, file), "utf8"));
      return said + (await Promise.all(texts)).join("\n");
    },
  };
}

const environment = (folder: string) => ({
  PATH: process.env.PATH,
  HOME: folder,
  XDG_DATA_HOME: folder,
  XDG_CONFIG_HOME: folder,
});
