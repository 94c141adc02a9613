import { Socket } from "node:net";
import pg from "pg";
import type { Logger } from "../logger.ts";
import { retryConflicts } from "./retry.ts";
import { withClient } from "./with-client.ts";

/** Without it a half-open connection is noticed by the kernel after two hours. */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 };

/** How long queries that are running may take to their end when the pool is closed. */
const LAST_QUERIES_MS = 1000;

/**
 * The connections for everything but LISTEN; may go through a pooler, so nothing here relies on a session.
 * A query that gets no answer within 10 s rejects, and its connection is discarded. It is read committed, whatever the database
 * has for its default, and is asked again where others were in its way. So are Prisma's single statements, which come here, too; a
 * transaction takes a client, and whoever begins one says its isolation and asks again. `close` waits a second for queries that are
 * running, then cuts them: a database that does not answer must not hold up the end.
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
  /** The default, as the newest session has found it. */
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
  const query = pool.query.bind(pool) as Query;
  async function ask(...args: unknown[]) {
    if (!isolation) (await pool.connect()).release();
    return await (isolation === "read committed" ? query(...args) : askReadCommitted(pool, args));
  }
  return Object.assign(pool, {
    query: ((...args: unknown[]) => retryConflicts(() => ask(...args))) as pg.Pool["query"],
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
 * Three round trips in place of one, in a form that passes a pooler. What is serializable fails others, too: the
 * application's transactions, because the feed has read meanwhile what they are writing.
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
 * The session's default. Refuses a session with the one of all settings that nothing can be read or written in spite of: then
 * no trigger fires, so that nobody hears of a mark. The pool waits for this before it hands the client out.
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
