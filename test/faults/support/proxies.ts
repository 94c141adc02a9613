import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { hasNginx, startNginx } from "../../support/nginx.ts";
import { findPort } from "./ports.ts";

/** Starts a proxy before the service's port and resolves with its URL. It ends with the test. */
export type Start = (target: number) => Promise<string>;

export interface Program {
  path: string;
  /** Its configuration, from its port, its folder and the service's port. */
  config: (port: number, folder: string, target: number) => string;
  args: (configFile: string, folder: string, port: number) => string[];
  env?: (folder: string) => Record<string, string>;
}

const NGINX = "proxy_http_version 1.1; proxy_set_header Connection '';";

const nginx =
  (directives: string): Start =>
  async (target) => {
    const locations = `location / { proxy_pass http://127.0.0.1:${target}; ${directives} }`;
    return (await startNginx({ locations })).url;
  };

export const caddy = (directives = ""): Program => ({
  path: "/usr/bin/caddy",
  config: (port, _, target) =>
    `{\n  admin off\n}\nhttp://:${port} {\n  bind 127.0.0.1\n  ${directives}\n  reverse_proxy 127.0.0.1:${target}\n}\n`,
  args: (file) => ["run", "--config", file, "--adapter", "caddyfile"],
  env: (folder) => ({ XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }),
});

export const haproxy = (option = ""): Program => ({
  path: "/usr/sbin/haproxy",
  config: (port, _, target) => `global
  maxconn 500
defaults
  mode http
  ${option}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${port}
  default_backend out
backend out
  server service 127.0.0.1:${target}
`,
  args: (file) => ["-db", "-f", file],
});

export const apache = (directive = ""): Program => ({
  path: "/usr/sbin/apache2",
  config: (port, folder, target) => `ServerRoot /usr/lib/apache2
${["mpm_event", "authz_core", "setenvif", "headers", "proxy", "proxy_http", "filter", "deflate"]
  .map((name) => `LoadModule ${name}_module modules/mod_${name}.so`)
  .join("\n")}
PidFile ${folder}/pid
ErrorLog ${folder}/error.log
DefaultRuntimeDir ${folder}
ServerName localhost
Listen 127.0.0.1:${port}
ThreadsPerChild 64
${directive}
ProxyPass / http://127.0.0.1:${target}/
`,
  args: (file, folder) => ["-X", "-d", folder, "-f", file],
});

export const varnish = (subroutine = ""): Program => ({
  path: "/usr/sbin/varnishd",
  config: (_, __, target) =>
    `vcl 4.1;\nbackend service { .host = "127.0.0.1"; .port = "${target}"; }\n${subroutine}\n`,
  args: (file, folder, port) => [
    ...["-F", "-f", file, "-a", `127.0.0.1:${port}`, "-n", join(folder, "varnish")],
    ...["-s", "malloc,32m"],
  ],
});

export const lighttpd = (isStreaming: boolean): Program => ({
  path: "/usr/sbin/lighttpd",
  // Without stream-response-body it holds a response until it is complete.
  config: (port, folder, target) => `server.document-root = "${folder}"
server.bind = "127.0.0.1"
server.stream-response-body = ${isStreaming ? 1 : 0}
server.port = ${port}
server.modules = ("mod_proxy")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${target})))
`,
  args: (file) => ["-D", "-f", file],
});

/** Debian's proxies with common settings. One that is not installed is undefined. */
export const PROXIES: Record<string, Start | undefined> = {
  nginx: hasNginx ? nginx("") : undefined,
  "nginx, HTTP/1.1 to the service": hasNginx ? nginx(NGINX) : undefined,
  "nginx, HTTP/1.1, X-Accel-Buffering ignored": hasNginx
    ? nginx(`${NGINX} proxy_ignore_headers X-Accel-Buffering;`)
    : undefined,
  Caddy: starter(caddy()),
  "Caddy, encode gzip": starter(caddy("encode gzip")),
  HAProxy: starter(haproxy()),
  "HAProxy, forwardfor": starter(haproxy("option forwardfor")),
  "HAProxy, http-no-delay": starter(haproxy("option http-no-delay")),
  Apache: starter(apache()),
  "Apache, SetOutputFilter DEFLATE": starter(apache("SetOutputFilter DEFLATE")),
  Varnish: starter(varnish()),
  "Varnish, pipe": starter(varnish("sub vcl_recv { return (pipe); }")),
  "lighttpd, stream-response-body": starter(lighttpd(true)),
};

export function starter(program: Program): Start | undefined {
  if (!existsSync(program.path)) return undefined;
  return async (target) => {
    const port = await findPort();
    const folder = await mkdtemp(join(tmpdir(), "bellwire-proxy-"));
    await chmod(folder, 0o777); // some change from root to another user
    const file = join(folder, "config");
    await writeFile(file, program.config(port, folder, target));
    const child = spawn(program.path, program.args(file, folder, port), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...program.env?.(folder) },
    });
    let said = "";
    for (const output of [child.stdout, child.stderr])
      output.on("data", (chunk) => {
        said += chunk;
      });
    const ended = once(child, "exit");
    onTestFinished(async () => {
      child.kill("SIGTERM");
      // Some proxies wait for open streams.
      const cut = setTimeout(() => child.kill("SIGKILL"), 2000);
      await ended;
      clearTimeout(cut);
      await rm(folder, { recursive: true, force: true });
    });
    const url = `http://127.0.0.1:${port}`;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`${program.path} did not start:\n${said}`);
      const answer = await fetch(`${url}/livez`).catch(() => undefined);
      await answer?.text();
      if (answer?.ok) return url;
    }
  };
}
