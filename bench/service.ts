import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { startEmbedded } from "../src/db/embedded.ts";
import { migrate } from "../src/db/migrate.ts";
import { createMinter } from "../src/http/token.ts";
import { createLogger } from "../src/logger.ts";

const SECRET = "a secret that is long enough for HS256";

/**
 * The built service, a process of its own, on an embedded PostgreSQL with its default settings; both are thrown away.
 * `prepare` has the database to itself.
 */
export async function startService(prepare: (writer: pg.Client) => Promise<void> = async () => {}) {
  const log = createLogger("silent");
  const dir = await mkdtemp(join(tmpdir(), "bellwire-bench-"));
  const database = await startEmbedded({ dir: join(dir, "pg"), port: 0, log });
  await migrate({ url: database.url, folders: ["sql/example", "sql/rules"], log });
  const writer = new pg.Client(database.url);
  await writer.connect();
  await prepare(writer);
  const { server_version } = (await writer.query("show server_version")).rows[0];

  const child = spawn(process.execPath, ["dist/cli.js", "start"], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      JWT_SECRET: SECRET,
      HOST: "127.0.0.1",
      PORT: "0",
      METRICS_PORT: "0",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  let address = "";
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, address: said } = JSON.parse(line);
    address ||= said ?? "";
    if (msg === "listening") break;
  }
  child.stdout.resume();

  return {
    address,
    databaseUrl: database.url,
    /** A connection beside those of the service, with every right. */
    writer,
    token: createMinter({
      key: { kind: "secret", secret: SECRET },
      issuer: undefined,
      audience: undefined,
      userClaim: "sub",
    }),
    /** Where the figures are from. */
    place: `Node ${process.version}, PostgreSQL ${server_version}, ${cpus().length} cores (${cpus()[0]?.model}), ${new Date().toISOString().slice(0, 10)}`,
    async close() {
      await writer.end();
      child.kill("SIGTERM");
      await exited;
      await database.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
