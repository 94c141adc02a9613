import { Socket } from "node:net";
import pg from "pg";
import type { Logger } from "../logger.ts";
import { retryConflicts } from "./retry.ts";
import { withClient } from "./with-client.ts";

/** Without keep-alive the kernel notices a half-open connection after two hours. */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 };

export interface PoolUsage {
  /** The most connections that it may open. */
  size: number;
  open: number;
  idle: number;
  /** Queries that wait for a connection. */
  waiting: number;
}

/** How long running queries may take to finish when the pool is closed. */
const LAST_QUERIES_MS = 1000;

/**
 * The connections for everything but LISTEN and the feed's own session. They may go through a pooler, so nothing here relies on a session.
 *
 * A query that gets no answer within 10 s rejects, and its connection is discarded. `query` runs as read committed, whatever the
 * database's default, and retries conflicts. Prisma's single statements also come through `query`. For a transaction, take a client:
 * then the caller sets the isolation level and retries.
 *
 * `close` waits a second for running queries, then cuts their connections, because a database that does not answer must not delay
 * the shutdown.
 */
export function createPool({
  url,
  size,
  log,
}: {
  url: string;
  size: number;
  log: Logger;
}): pg.Pool & { usage(): PoolUsage; close(): Promise<void> } {
  const sockets = new Set<Socket>();
  /** The default isolation level that the newest session found. */
  let isolation: string | undefined;
  const pool = new pg.Pool({
    connectionString: url,
    application_name: "bellwire",
    max: size,
    connectionTimeoutMillis: 5000,
    query_timeout: 10_000,
    idleTimeoutMillis: 300_000,
    maxLifetimeSeconds: 600,
    async onConnect(client) {
      isolation = await readIsolation(client);
    },
    stream() {
      const socket = new Socket();
      sockets.add(socket);
      return socket.once("close", () => sockets.delete(socket));
    },
    ...KEEP_ALIVE,
  });
  // An idle connection was cut, and the pool has dropped it. Without a handler the event would end the process.
  pool.on("error", (err) => log.warn({ err }, "lost an idle database connection"));
  // If a query got no answer, its connection is dead, and the idle connections probably are too. Each would cost its next user
  // another 10 s, so they are discarded.
  pool.on("release", (err) => {
    if (!(err instanceof Error) || err instanceof pg.DatabaseError) return;
    for (let idle = pool.idleCount; idle > 0; idle--)
      pool.connect().then(
        (client) => client.release(true),
        () => {}, // the pool was closed meanwhile
      );
  });
  const query = pool.query.bind(pool) as Query;
  async function ask(...args: unknown[]) {
    if (!isolation) (await pool.connect()).release();
    return await (isolation === "read committed" ? query(...args) : askReadCommitted(pool, args));
  }
  return Object.assign(pool, {
    query: ((...args: unknown[]) => retryConflicts(() => ask(...args))) as pg.Pool["query"],
    usage: () => ({
      size,
      open: pool.totalCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
    }),
    async close() {
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, LAST_QUERIES_MS);
      await pool.end();
      clearTimeout(cut);
    },
  });
}

type Query = (...args: unknown[]) => Promise<unknown>;

/**
 * Takes three round trips instead of one, and works through a pooler. Serializable reads would also make the application's
 * transactions fail, because the feed has read what they are writing.
 */
function askReadCommitted(pool: pg.Pool, args: unknown[]): Promise<unknown> {
  return withClient(pool, async (client) => {
    await client.query("begin isolation level read committed");
    const answer = await client.query(...(args as [string, unknown[]]));
    await client.query("commit");
    return answer;
  });
}

/**
 * The session's default isolation level. Rejects a session with `session_replication_role = replica`, because in it no trigger
 * fires, so marks would be announced to nobody. No query can work around that setting. The pool waits for this check before it
 * hands the client out.
 */
async function readIsolation(client: pg.ClientBase): Promise<string | undefined> {
  const { rows } = await client.query<{ role: string; isolation: string }>(
    `select current_setting('session_replication_role') as role,
            current_setting('default_transaction_isolation') as isolation`,
  );
  if (rows[0]?.role === "replica")
    throw new Error(
      "session_replication_role is replica for this login or database: no trigger fires",
    );
  return rows[0]?.isolation;
}

/** The settings of a service login (docs/dba.md), for a session of a login with more rights. */
const AS_SERVICE = {
  role: "bellwire_service",
  statement_timeout: "10s",
  lock_timeout: "8s",
  idle_in_transaction_session_timeout: "10s",
};

/** The URL of the same database with only the service's rights, for a login that is a member of the service's role. */
export function asService(url: string): string {
  const settings = Object.entries(AS_SERVICE).map(([name, value]) => `-c ${name}=${value}`);
  return `${url}${url.includes("?") ? "&" : "?"}options=${encodeURIComponent(settings.join(" "))}`;
}
