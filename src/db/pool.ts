import { Socket } from "node:net";
import pg from "pg";
import type { Logger } from "../logger.ts";
import { tryAgain } from "./try-again.ts";

/** Without it a half-open connection is noticed by the kernel after two hours. */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 };

/** How long queries that are running may take to their end when the pool is closed. */
const LAST_QUERIES_MS = 1000;

/**
 * The connections for everything but LISTEN; may go through a pooler, so nothing here relies on a session.
 * A query that gets no answer within 10 s rejects, and its connection is discarded. One that others were in the way of is
 * asked again, whatever isolation the database has for its default. So are Prisma's single statements, which come here, too; a
 * transaction takes a client, and whoever begins one asks again. `close` waits a second for queries that are running, then
 * cuts them: a database that does not answer must not hold up the end.
 */
export function createPool({
  url,
  size,
  log,
}: {
  url: string;
  size: number;
  log: Logger;
}): pg.Pool & { close(): Promise<void> } {
  const sockets = new Set<Socket>();
  const pool = new pg.Pool({
    connectionString: url,
    application_name: "bellwire",
    max: size,
    connectionTimeoutMillis: 5000,
    query_timeout: 10_000,
    idleTimeoutMillis: 300_000,
    maxLifetimeSeconds: 600,
    onConnect: refuseReplicaRole,
    stream() {
      const socket = new Socket();
      sockets.add(socket);
      return socket.once("close", () => sockets.delete(socket));
    },
    ...KEEP_ALIVE,
  });
  // An idle connection was cut. The pool drops it by itself; unheard, the event would end the process.
  pool.on("error", (err) => log.warn({ err }, "lost an idle database connection"));
  // A query that got no answer says that its connection leads nowhere, and most likely so do those that idle: each would
  // cost its next user another 10 s.
  pool.on("release", (err) => {
    if (!(err instanceof Error) || err instanceof pg.DatabaseError) return;
    for (let idle = pool.idleCount; idle > 0; idle--)
      pool.connect().then(
        (client) => client.release(true),
        () => {}, // the pool was closed meanwhile
      );
  });
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>;
  return Object.assign(pool, {
    query: ((...args: unknown[]) => tryAgain(() => query(...args))) as pg.Pool["query"],
    async close() {
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, LAST_QUERIES_MS);
      await pool.end();
      clearTimeout(cut);
    },
  });
}

/**
 * Of all settings that a database or a login may have, the one nothing can be read or written in spite of: then no trigger
 * fires, so that nobody hears of a mark. The pool waits for this before it hands the client out.
 */
async function refuseReplicaRole(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query("select current_setting('session_replication_role') as role");
  if (rows[0]?.role === "replica")
    throw new Error(
      "session_replication_role is replica for this login or database: no trigger fires",
    );
}

/** What a login of the service has set (docs/dba.md); given here to a session that has a login of more rights. */
const AS_SERVICE = {
  role: "bellwire_service",
  statement_timeout: "10s",
  lock_timeout: "8s",
  idle_in_transaction_session_timeout: "10s",
};

/** The same database with the rights of the service and no more, for whoever may take the role. */
export function asService(url: string): string {
  const settings = Object.entries(AS_SERVICE).map(([name, value]) => `-c ${name}=${value}`);
  return `${url}${url.includes("?") ? "&" : "?"}options=${encodeURIComponent(settings.join(" "))}`;
}
