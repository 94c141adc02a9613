import pg from "pg";
import type { Logger } from "../logger.ts";
import { findBinaries } from "./binaries.ts";
import { prepareData } from "./data.ts";
import { choosePlace, type Place } from "./place.ts";
import { findServer, once, type Server, startServer } from "./server.ts";

/** A PostgreSQL of our own: `url` names its database `bellwire`, `dir` is where its data really is. */
export type Embedded = { url: string; port: number; dir: string; close(): Promise<void> };

type Options = { dir: string; port: number; log: Logger };

/** The ASCII codes of "bellwire". Only in the database `postgres`, so it meets no lock of a migration. */
const LOCK = 0x62656c6c77697265n;

/** 250 ms, 500 ms, 1 s … 10 s, until it runs again. */
const backoffMs = (attempt: number) => Math.min(10_000, 250 * 2 ** attempt);

/**
 * Starts the PostgreSQL that npm installed, for a machine with nothing but Node. One Bellwire to a folder: it holds
 * an advisory lock, which the server gives back by itself when the holder dies. A server left behind by a killed
 * Bellwire is used on, on the port that it has. One that ends by itself, or is killed, is started again, on the same port.
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

  async function startAgain(): Promise<void> {
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
        return log.warn({ port }, "the embedded database runs again");
      } catch (err) {
        log.error({ err, attempt }, "cannot start the embedded database again; trying on");
      }
    }
  }

  async function watch(): Promise<void> {
    while (!isClosing) {
      await lock.lost;
      if (isClosing) return;
      log.error("the embedded database has gone; starting it again");
      await startAgain();
    }
  }

  const close = once(async () => {
    isClosing = true;
    endPause();
    const held = lock;
    await server.close(); // first: until it is down, nobody else may take the lock
    await watching;
    if (lock !== held) await server.close(); // started again meanwhile
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
    log.warn({ port: running.port }, "found a running server on the database folder");
    return running;
  }
  try {
    return await startServer({ place, port, log });
  } catch (err) {
    // Two starts at the same moment: the slower one finds the quicker one's server, and then its lock.
    const other = await findServer(place);
    if (other) return other;
    throw err;
  }
}

/** `lost` resolves when its session has ended, as it does with the server. */
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
    // A killed holder's session ends within milliseconds, not at once.
    await client.query("set lock_timeout = '2s'");
    await client.query("select pg_advisory_lock($1)", [LOCK]);
  } catch (err) {
    // The server stays: it is somebody else's, even if this process has started it.
    await client.end();
    if (!(err instanceof pg.DatabaseError && err.code === LOCK_NOT_AVAILABLE)) throw err;
    throw new Error(
      `Another Bellwire already runs on this folder (${place.dir}). Stop it, or name another folder in ` +
        "EMBEDDED_PG_DIR and another port in EMBEDDED_PG_PORT.",
    );
  }
  return { client, lost };
}

const LOCK_NOT_AVAILABLE = "55P03";

async function ensureDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query("select from pg_database where datname = 'bellwire'");
  if (rowCount === 0) await client.query("create database bellwire");
}
