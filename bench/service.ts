import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { startEmbedded } from "../src/embedded/embedded.ts";
import { createMinter } from "../src/http/auth/sign.ts";
import { createLogger } from "../src/logger.ts";
import { migrate } from "../src/migrate/migrate.ts";

const SECRET = "a secret that is long enough for HS256";

const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));

/** A level of pino. */
const WARN = 40;

/** A running process of the built service. */
export type Instance = Awaited<ReturnType<typeof startInstance>>;

export type Database = Awaited<ReturnType<typeof startDatabase>>;

/** An embedded PostgreSQL with its default settings, removed when it is closed. `url` is the database with the marketplace. */
export async function startDatabase() {
  const log = createLogger("silent");
  const dir = await mkdtemp(join(tmpdir(), "bellwire-bench-"));
  // The server does not run as root. If its account could not enter this folder, its data would go elsewhere and stay.
  await chmod(dir, 0o755);
  const database = await startEmbedded({ dir: join(dir, "pg"), port: 0, log });
  await migrate({ url: database.url, folders: ["sql/example", "sql/rules"], log });
  await admitApplication(database.url);
  // If a scenario fails, nothing else closes what it has opened.
  const remove = () => {
    const [pid] = readFileSync(join(database.dir, "data/postmaster.pid"), "utf8").split("\n");
    process.kill(Number(pid), "SIGQUIT");
    rmSync(dir, { recursive: true, force: true });
  };
  process.once("exit", remove);
  const admin = new pg.Client(database.url);
  await admin.connect();
  const { server_version } = (await admin.query("show server_version")).rows[0];

  return {
    url: database.url,
    /** Versions, machine and date, for the result. */
    place: `Node ${process.version}, PostgreSQL ${server_version}, ${cpus().length} cores (${cpus()[0]?.model}), ${new Date().toISOString().slice(0, 10)}`,
    /** Creates another database on the same server, with the marketplace but without its rules. Resolves with its URL. */
    async addDatabase(name: string, folders: string[] = []): Promise<string> {
      await admin.query(`create database ${name}`);
      const url = database.url.replace(/\/bellwire$/, `/${name}`);
      await migrate({ url, folders: ["sql/example", ...folders], log });
      await admitApplication(url);
      return url;
    },
    async close() {
      await admin.end();
      process.off("exit", remove);
      await database.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** The database as an application has it: with a login that may write its tables and is not a superuser. */
export const asApplication = (url: string) =>
  url.replace("//postgres:postgres@", "//application:application@");

async function admitApplication(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`
    do $$ begin
      if to_regrole('application') is null then
        create role application login password 'application';
      end if;
    end $$;
    grant all on all tables in schema public to application;
    alter default privileges in schema public grant all on tables to application`);
  await client.end();
}

/** Starts the built service on a database, as `npm start` does. Resolves when it listens. `env` adds to the required variables. */
export async function startInstance(databaseUrl: string, env: Record<string, string> = {}) {
  const [, ...args] = scripts.start.split(" ");
  const child = spawn(process.execPath, [...nodeOptions(), ...args], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: databaseUrl,
      JWT_SECRET: SECRET,
      HOST: "127.0.0.1",
      PORT: "0",
      METRICS_PORT: "0",
      ...env,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = endWithUs(child);
  const { address, metrics } = await new Promise<{ address: string; metrics: string }>(
    (resolve, reject) => {
      let started: { address: string; metrics: string } | undefined;
      let isListening = false;
      createInterface({ input: child.stdout }).on("line", (text) => {
        const line = JSON.parse(text);
        if (line.msg === "started") started = line;
        if (line.msg === "listening") isListening = true;
        if (started && isListening) resolve(started);
        // Shows what an operator would see.
        if (line.level >= WARN) console.error(text);
      });
      child.once("exit", () => reject(new Error("the service did not start")));
    },
  );

  async function end(signal: NodeJS.Signals) {
    child.kill(signal);
    await exited;
  }
  return {
    address,
    metricsAddress: metrics,
    pid: child.pid ?? 0,
    /** Kills it, as a crash would. */
    kill: () => end("SIGKILL"),
    close: () => end("SIGTERM"),
  };
}

export interface ServiceOptions {
  /** Runs before the service starts, while nothing else uses the database. */
  prepare?: (writer: pg.Client) => Promise<void>;
  /** For each instance. */
  env?: Record<string, string>;
  instances?: number;
}

/** The built service on an embedded PostgreSQL. Each instance is a process of its own. Everything is removed afterwards. */
export async function startService({ prepare, env = {}, instances = 1 }: ServiceOptions = {}) {
  const database = await startDatabase();
  const writer = new pg.Client(database.url);
  await writer.connect();
  await prepare?.(writer);
  const running: Instance[] = [];

  /** Starts another instance on the same database. With PORT it replaces one that was killed. */
  async function start(more: Record<string, string> = {}): Promise<Instance> {
    const instance = await startInstance(database.url, { ...env, ...more });
    running.push(instance);
    return instance;
  }
  const first = await start();
  while (running.length < instances) await start();

  return {
    /** The first instance's. */
    address: first.address,
    /** All that were started, also those that have ended. */
    instances: running as readonly Instance[],
    start,
    databaseUrl: database.url,
    /** A superuser's connection, besides those of the service. */
    writer,
    token: mintToken,
    place: database.place,
    async close() {
      await writer.end();
      await Promise.all(running.map((instance) => instance.close()));
      await database.close();
    },
  };
}

/** A token that every instance accepts. */
export const mintToken = createMinter({
  key: { kind: "secret", secret: SECRET },
  issuer: undefined,
  audience: undefined,
  userClaim: "sub",
});

/** Resolves when a process that was just spawned has ended. If this process ends first, it is killed. */
export function endWithUs(child: ChildProcess): Promise<void> {
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  return new Promise((resolve) =>
    child.once("exit", () => {
      process.off("exit", kill);
      resolve();
    }),
  );
}

/** To profile the service: `BENCH_NODE_OPTIONS="--cpu-prof --cpu-prof-dir=/tmp/prof" npm run bench -- sustained`. */
const nodeOptions = () => (process.env.BENCH_NODE_OPTIONS ?? "").split(" ").filter(Boolean);
