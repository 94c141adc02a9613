import pg from "pg";
import type { Logger } from "../logger.ts";
import { findBinaries } from "./binaries.ts";
import { prepareData } from "./data.ts";
import { choosePlace, type Place } from "./place.ts";
import { findServer, once, type Server, startServer } from "./server.ts";

/** The embedded PostgreSQL. `url` is that of its database `bellwire`. `dir` is the folder that is used, which may differ from the requested one. */
export type Embedded = { url: string; port: number; dir: string; close(): Promise<void> };

type Options = { dir: string; port: number; log: Logger };

/** The ASCII codes of "bellwire". Taken only in the database `postgres`, so it cannot collide with a lock of a migration. */
const LOCK = 0x62656c6c77697265n;

/** 250 ms, 500 ms, 1 s … 10 s. */
const backoffMs = (attempt: number) => Math.min(10_000, 250 * 2 ** attempt);

/**
 * Starts the PostgreSQL that npm installed, for a machine that has only Node. Only one Bellwire may use a folder: it holds an
 * advisory lock, which the server releases when the holder dies. If a killed Bellwire left its server running, that server is
 * used, on its port. A server that exits or is killed is restarted on the same port.
 */
export async function startEmbedded(options: Options): Promise<Embedded> {
  const { log } = options;
  const place = await choosePlace({ ...options, binaries: await findBinaries() });
  await prepareData(place);
  let server = await openServer(place, options);
  const { port } = server;
  let lock = await holdLock(server, place);
  let isClosing = false;
  let endPause = () => {};
  let watching = Promise.resolve();

  async function restart(): Promise<void> {
    for (let attempt = 0; !isClosing; attempt++) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, backoffMs(attempt));
        endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (isClosing) return;
      try {
        server = await openServer(place, { ...options, port });
        lock = await holdLock(server, place);
        return log.warn({ port }, "the embedded database was restarted");
      } catch (err) {
        log.error({ err, attempt }, "cannot restart the embedded database; will retry");
      }
    }
  }

  async function watch(): Promise<void> {
    while (!isClosing) {
      await lock.lost;
      if (isClosing) return;
      log.error("lost the embedded database; restarting it");
      await restart();
    }
  }

  const close = once(async () => {
    isClosing = true;
    endPause();
    const held = lock;
    await server.close(); // before the lock is released, so that nobody else gets the lock while the server runs
    await watching;
    if (lock !== held) await server.close(); // the server was restarted meanwhile
    await lock.client.end();
  });
  try {
    await ensureDatabase(lock.client);
  } catch (err) {
    await close();
    throw err;
  }
  watching = watch();
  log.info({ dir: place.dir, port }, "embedded database ready");
  return { url: server.url("bellwire"), port, dir: place.dir, close };
}

async function openServer(place: Place, { port, log }: Options): Promise<Server> {
  const running = await findServer(place);
  if (running) {
    log.warn({ port: running.port }, "using the server that already runs on the database folder");
    return running;
  }
  try {
    return await startServer({ place, port, log });
  } catch (err) {
    // Two starts at the same moment: the slower one finds the server of the faster one, and then its lock.
    const other = await findServer(place);
    if (other) return other;
    throw err;
  }
}

/** `lost` resolves when the session of the lock has ended, which also happens when the server ends. */
async function holdLock(server: Server, place: Place) {
  const client = new pg.Client({
    connectionString: server.url("postgres"),
    application_name: "bellwire folder lock",
  });
  client.on("error", () => {}); // "end" follows
  const lost = new Promise<void>((resolve) => {
    client.once("end", resolve);
  });
  await client.connect().catch(async (err: unknown) => {
    await server.close();
    throw new Error(`Could not connect to the database in ${place.dir}`, { cause: err });
  });
  try {
    // The session of a killed holder ends some milliseconds later.
    await client.query("set lock_timeout = '2s'");
    await client.query("select pg_advisory_lock($1)", [LOCK]);
  } catch (err) {
    // The server keeps running: another process uses it, even if this process started it.
    await client.end();
    if (!(err instanceof pg.DatabaseError && err.code === LOCK_NOT_AVAILABLE)) throw err;
    throw new Error(
      `Another Bellwire already runs on this folder (${place.dir}). Stop it, or set EMBEDDED_PG_DIR to another folder ` +
        "and EMBEDDED_PG_PORT to another port.",
    );
  }
  return { client, lost };
}

const LOCK_NOT_AVAILABLE = "55P03";

async function ensureDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query("select from pg_database where datname = 'bellwire'");
  if (rowCount === 0) await client.query("create database bellwire");
}
