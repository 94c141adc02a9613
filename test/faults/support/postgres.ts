import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { runAs } from "../../../src/embedded/account.ts";
import { type Binaries, findBinaries } from "../../../src/embedded/binaries.ts";
import { prepareData } from "../../../src/embedded/data.ts";
import { choosePlace } from "../../../src/embedded/place.ts";
import { once, type Server, startServer } from "../../../src/embedded/server.ts";
import { createLogger } from "../../../src/logger.ts";
import { migrate } from "../../../src/migrate/migrate.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { findPort } from "./ports.ts";

/** "fast" ends the sessions and writes a checkpoint. "immediate" is a crash, so the next start recovers. */
export type StopMode = "fast" | "immediate";

export interface PostgresOptions {
  /** 18 comes from npm. 15, the oldest supported version, comes from Debian where it is installed. */
  major?: 18 | 15;
  settings?: Record<string, string | number>;
}

export type Postgres = Awaited<ReturnType<typeof startPostgres>>;

const log = createLogger("silent");

/**
 * The tests simulate no power loss, so nothing waits for the disk. But a commit is in the WAL before it is answered, so
 * it survives a crash of PostgreSQL.
 */
const SETTINGS = {
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "on",
  max_connections: 300,
  max_prepared_transactions: 10,
};

/** A PostgreSQL for one test, which may stop, crash and freeze it. It keeps its port and its data over a stop. */
export async function startPostgres({ major = 18, settings = {} }: PostgresOptions = {}) {
  const binaries = major === 18 ? await findBinaries() : DEBIAN_15;
  const folder = await mkdtemp(join(tmpdir(), "bellwire-faults-"));
  const place = await choosePlace({ dir: folder, binaries, log });
  const dataDir = join(place.dir, "data");
  const port = await findPort();
  const frozen = new Set<number>();
  let server: Server | undefined;

  async function start(): Promise<void> {
    server ??= await startServer({ place, port, settings: { ...SETTINGS, ...settings }, log });
  }

  async function stop(mode: StopMode): Promise<void> {
    if (!server) return;
    // The server would wait for a frozen backend, which cannot end.
    thaw();
    server = undefined;
    await runAs(place.account, place.binaries.pgCtl, ["stop", "-w", "-m", mode, "-D", dataDir]);
  }

  /** Freezes a backend or lets it continue. One that has ended is no error, because another fault may have ended it. */
  function signalBackend(pid: number, signal: "SIGSTOP" | "SIGCONT"): void {
    if (signal === "SIGSTOP") frozen.add(pid);
    else frozen.delete(pid);
    try {
      process.kill(pid, signal);
    } catch (err) {
      if (!(err instanceof Error && "code" in err && err.code === "ESRCH")) throw err;
    }
  }

  function thaw(): void {
    for (const pid of frozen) signalBackend(pid, "SIGCONT");
  }

  const url = (database = "postgres") =>
    `postgres://postgres:postgres@127.0.0.1:${port}/${database}`;

  async function query<Row extends pg.QueryResultRow>(
    sql: string,
    params: unknown[] = [],
    database?: string,
  ): Promise<Row[]> {
    const client = new pg.Client({ connectionString: url(database), application_name: "faults" });
    client.on("error", () => {}); // the query that waits rejects as well
    await client.connect();
    try {
      return (await client.query<Row>(sql, params)).rows;
    } finally {
      await client.end();
    }
  }

  /** 'bellwire listener' is the service's LISTEN connection, and 'bellwire' its pools. */
  async function backendPids(applicationName: string): Promise<number[]> {
    const rows = await query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name = $1 order by backend_start",
      [applicationName],
    );
    return rows.map(({ pid }) => pid);
  }

  async function backendPid(applicationName: string): Promise<number> {
    const [pid] = await backendPids(applicationName);
    if (pid === undefined) throw new Error(`no backend is called '${applicationName}'`);
    return pid;
  }

  const close = once(async () => {
    try {
      await stop("immediate");
    } finally {
      // These are two folders if the server's account cannot use root's TMPDIR.
      for (const dir of new Set([folder, place.dir]))
        await rm(dir, { recursive: true, force: true });
    }
  });

  try {
    await prepareData(place);
    await start();
  } catch (err) {
    await close();
    throw err;
  }
  closeAfterTest(close);
  return {
    port,
    dataDir,
    /** As the superuser. */
    url,
    /** Each query uses a new connection. The default database is `postgres`. */
    query,
    stop,
    /** Resolves when it takes connections. */
    start,
    async restart(mode: StopMode): Promise<void> {
      await stop(mode);
      await start();
    },
    backendPid,
    backendPids,
    signalBackend,
    /** Lets every frozen backend continue. */
    thaw,
    close,
  };
}

/** Creates a database with Bellwire, the example marketplace and its rules. Returns its URL. */
export async function createMigrated(postgres: Postgres, name = "bellwire"): Promise<string> {
  await postgres.query(`create database ${name}`);
  const url = postgres.url(name);
  await migrate({ url, folders: ["sql/example", "sql/rules"], log });
  return url;
}

const at = (program: string) => `/usr/lib/postgresql/15/bin/${program}`;
const DEBIAN_15: Binaries = { initdb: at("initdb"), postgres: at("postgres"), pgCtl: at("pg_ctl") };
