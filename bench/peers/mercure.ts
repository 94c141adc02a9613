import { spawn } from "node:child_process";
import { endWithUs } from "../service.ts";
import { findFreePort, installGoProgram, waitForPort } from "./go.ts";

/** Its own command. The tags build it without Caddy. */
const VERSION = "v0.24.2";

/** Mercure with its in-memory transport, and a topic for each recipient. */
export async function startMercure() {
  const path = await installGoProgram({
    name: "mercure",
    package: "github.com/dunglas/mercure/cmd/mercure",
    version: VERSION,
    tags: ["deprecated_server", "deprecated_transport"],
  });
  const port = await findFreePort();
  const child = spawn(path, [], {
    env: {
      PATH: process.env.PATH,
      ADDR: `127.0.0.1:${port}`,
      JWT_KEY: "a secret that is long enough for HS256",
      ALLOW_ANONYMOUS: "1",
      TRANSPORT_URL: "local://local",
    },
    stdio: ["ignore", "ignore", "ignore"],
  });
  const exited = endWithUs(child);
  await waitForPort(child, port);
  return {
    address: `http://127.0.0.1:${port}`,
    version: `Mercure ${VERSION}`,
    pid: child.pid ?? 0,
    path: (recipient: number) => `/.well-known/mercure?topic=${recipient}`,
    /** It first sends only a colon, which tells clients that they are connected. */
    ready: "\n:\n",
    async close() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}
