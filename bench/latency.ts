/**
 * How long from a commit to the client, on an idle machine, beside what PostgreSQL itself needs.
 *
 * One writer inserts a message, waits until everybody has heard of it, and inserts the next: 20 ms later, and then at
 * once, which is faster than a read a tick (TICK_MS), so that most wait for theirs. The clock
 * starts when the writer has its commit acknowledged (a listener may well hear before that), and stops when a
 * bare LISTEN client has the NOTIFY, and when an SSE client has the frame. The service is a process of its own.
 *
 *   npm run bench
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { get } from "node:http";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { startEmbedded } from "../src/db/embedded.ts";
import { migrate } from "../src/db/migrate.ts";
import { createMinter } from "../src/http/token.ts";
import { createLogger } from "../src/logger.ts";

const ROUNDS = 5;
const WARM_UP = 200;
const INSERTS = 200;
/** Between two inserts. */
const PAUSES_MS = [20, 0];
const SECRET = "a secret that is long enough for HS256";

const log = createLogger("silent");
const dir = await mkdtemp(join(tmpdir(), "bellwire-bench-"));
const database = await startEmbedded({ dir: join(dir, "pg"), port: 0, log });
await migrate({ url: database.url, folders: ["sql/example", "sql/rules"], log });
const service = await startService(database.url);
const writer = new pg.Client(database.url);
const listener = new pg.Client(database.url);
await Promise.all([writer.connect(), listener.connect()]);

/** Resolves with the time of the next call of `heard`, in milliseconds. */
function createEar() {
  let resolve: (at: number) => void = () => {};
  return {
    heard: () => resolve(performance.now()),
    next: () =>
      new Promise<number>((done) => {
        resolve = done;
      }),
  };
}

const [bare, stream] = [createEar(), createEar()];
listener.on("notification", bare.heard);
await listener.query("listen bellwire");
await openStream(service.address, stream.heard);

async function insertOne() {
  const [atBare, atStream] = [bare.next(), stream.next()];
  await writer.query("insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello')");
  const committed = performance.now();
  return { bare: (await atBare) - committed, stream: (await atStream) - committed };
}

for (let i = 0; i < WARM_UP; i++) await insertOne();
const rounds = [];
for (const pauseMs of PAUSES_MS.flatMap((ms) => Array<number>(ROUNDS).fill(ms))) {
  const times = [];
  for (let i = 0; i < INSERTS; i++) {
    times.push(await insertOne());
    if (pauseMs > 0) await delay(pauseMs);
  }
  const [listen, sse] = [times.map((t) => t.bare), times.map((t) => t.stream)];
  rounds.push({
    "pause ms": pauseMs,
    "LISTEN median": quantile(listen, 0.5),
    "LISTEN 99th": quantile(listen, 0.99),
    "Bellwire median": quantile(sse, 0.5),
    "Bellwire 99th": quantile(sse, 0.99),
  });
}
console.log(
  `commit → client, milliseconds after the writer's acknowledgement; ${INSERTS} inserts a round
Node ${process.version}, PostgreSQL ${(await writer.query("show server_version")).rows[0].server_version}, ${cpus().length} cores (${cpus()[0]?.model}), ${new Date().toISOString().slice(0, 10)}`,
);
console.table(rounds);

await Promise.all([writer.end(), listener.end()]);
await service.close();
await database.close();
await rm(dir, { recursive: true, force: true });

function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Number(sorted[Math.floor((sorted.length - 1) * q)]?.toFixed(3));
}

async function startService(url: string) {
  const child = spawn(process.execPath, ["dist/cli.js", "start"], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: url,
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
    async close() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** Calls `onNotification` for each frame; resolves when the stream is ready. */
async function openStream(address: string, onNotification: () => void): Promise<void> {
  const mint = createMinter({
    key: { kind: "secret", secret: SECRET },
    issuer: undefined,
    audience: undefined,
    userClaim: "sub",
  });
  const headers = { authorization: `Bearer ${await mint("2")}` };
  await new Promise<void>((resolve) => {
    const request = get(`${address}/api/notifications/stream`, { headers, agent: false }, (res) => {
      res.on("error", () => {}); // the service ends the stream when it stops
      res.setEncoding("utf8").on("data", (text: string) => {
        if (text.includes("event: ready")) resolve();
        if (text.includes("event: notification")) onNotification();
      });
    });
    request.on("error", () => {});
  });
}
