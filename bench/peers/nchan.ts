import { spawn, spawnSync } from "node:child_process";
import { access, chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort, waitForPort } from "./go.ts";

/** Debian's `libnginx-mod-nchan`. */
const MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/** nginx with nchan: one worker, which is the minimum, and an event stream for each channel. */
export async function startNchan() {
  const version = spawnSync("nginx", ["-v"], { encoding: "utf8" }).stderr;
  const isThere = await access(MODULE).then(
    () => true,
    () => false,
  );
  if (!version || !isThere)
    throw new Error(`nchan is left out: there is no nginx with ${MODULE} here`);
  const dir = await mkdtemp(join(tmpdir(), "bellwire-nchan-"));
  await chmod(dir, 0o755);
  const port = await findFreePort();
  const file = join(dir, "nginx.conf");
  await writeFile(file, configOf(port, dir));
  const child = spawn("nginx", ["-p", dir, "-c", file, "-e", "stderr"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  // Not SIGKILL, which would leave the worker behind.
  const end = () => void child.kill("SIGTERM");
  process.once("exit", end);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  await waitForPort(child, port);
  return {
    address: `http://127.0.0.1:${port}`,
    version: version.trim().replace("nginx version: ", ""),
    pid: child.pid ?? 0,
    path: (recipient: number) => `/stream/${recipient}`,
    /** The comment that it sends first. */
    ready: ": hi\n\n",
    async close() {
      process.off("exit", end);
      end();
      await exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const configOf = (port: number, dir: string) => `
  load_module ${MODULE};
  daemon off;
  pid ${dir}/nginx.pid;
  worker_processes 1;
  worker_rlimit_nofile 20000;
  error_log stderr error;
  events { worker_connections 16000; }
  http {
    access_log off;
    client_body_temp_path ${dir}/body;
    proxy_temp_path ${dir}/proxy;
    fastcgi_temp_path ${dir}/fastcgi;
    uwsgi_temp_path ${dir}/uwsgi;
    scgi_temp_path ${dir}/scgi;
    server {
      listen 127.0.0.1:${port} backlog=4096;
      location ~ ^/stream/(\\d+)$ {
        nchan_subscriber eventsource;
        nchan_channel_id $1;
      }
    }
  }`;
