import { Socket } from "node:net";
import pg from "pg";
import { SETTINGS } from "../../migrate/opening.ts";

/** So long may a connection take to be made, and a query to be answered. */
const CONNECT_MS = 5000;
const QUERY_MS = 6000;
const GOODBYE_MS = 500;

export type Session = Awaited<ReturnType<typeof openSession>>;

/** A connection on which every wait ends. `name` is what sentences call the URL. */
export async function openSession(name: string, url: string) {
  // Our own socket, because a server that hangs never answers `end()`, and then the socket must be destroyed.
  const socket = new Socket();
  const client = new pg.Client({
    connectionString: url,
    application_name: "bellwire doctor",
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    stream: () => socket,
  });
  client.on("error", () => {}); // the running query rejects as well

  function close(): void {
    client.end().catch(() => {});
    setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
  }

  const startedAt = performance.now();
  try {
    await client.connect();
  } catch (err) {
    close();
    throw err;
  }
  const { host, port, user = "", database = "" } = client;
  return {
    /** Where the URL leads. */
    target: { name, url, host, port, user, database },
    client,
    connectMs: performance.now() - startedAt,
    /** Runs work in a read-only transaction, which is rolled back. */
    async read<T>(work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
      await client.query(
        `begin isolation level read committed read only; ${SETTINGS} set local statement_timeout = '${QUERY_MS - 1000}ms'`,
      );
      try {
        return await work(client);
      } finally {
        await client.query("rollback").catch(() => {}); // the connection was lost, and work has thrown
      }
    },
    close,
  };
}
