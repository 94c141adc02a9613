import { spawn } from "node:child_process";
import { query } from "../contenders.ts";
import { endWithUs } from "../service.ts";
import { USUAL_TRIGGER } from "./express-sse.ts";
import { findFreePort, installGoProgram, waitForPort } from "./go.ts";

/** pg_eventserv sends every payload of a NOTIFY channel to all WebSockets that listen to it. */
export async function startPgEventserv(databaseUrl: string) {
  const path = await installGoProgram({
    name: "pg_eventserv",
    // The name in its go.mod; the repository is CrunchyData's.
    package: "github.com/pramsey/pg_eventserv",
    version: "latest",
  });
  await query(databaseUrl, USUAL_TRIGGER);
  const port = await findFreePort();
  const child = spawn(path, [], {
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      ES_HTTPHOST: "127.0.0.1",
      ES_HTTPPORT: String(port),
    },
    stdio: ["ignore", "ignore", "ignore"],
  });
  const exited = endWithUs(child);
  await waitForPort(child, port);
  return {
    address: `http://127.0.0.1:${port}`,
    version: "pg_eventserv (latest)",
    path: "/listen/usual",
    headers: {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": Buffer.from("sixteen bytes it").toString("base64"),
    },
    async close() {
      child.kill("SIGINT");
      await exited;
    },
  };
}
