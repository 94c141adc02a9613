import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";
import { urlOfDatabase } from "./database-url.ts";

/** A database for one test file. NOTIFY channels belong to a database, so files do not hear each other. */
export type TestDatabase = {
  url: string;
  /** Runs one statement at a time, over one connection. `connect` opens more. */
  query<Row extends pg.QueryResultRow>(sql: string, params?: unknown[]): Promise<Row[]>;
  /** A connected client. The database's `close` ends it, if nothing else has. */
  connect(): Promise<pg.Client>;
  close(): Promise<void>;
};

/**
 * Clones the migrated template on a server of `inject("servers")`, the first unless another is given. `empty` makes a database without
 * Bellwire, with its `encoding` if it is given. `close` drops the database and cuts its connections.
 */
export async function createDatabase(
  server?: { url: string },
  options: { empty?: boolean; encoding?: string } = {},
): Promise<TestDatabase> {
  const servers = inject("servers");
  const found = server ? servers.find(({ url }) => url === server.url) : servers[0];
  if (!found) throw new Error("Not one of the servers that the tests run on");
  const name = `bellwire_test_${randomBytes(6).toString("hex")}`;
  await runOnce(
    found.url,
    // Copying files takes less processor time than writing every page to the WAL.
    `create database ${name} template ${options.empty ? "template0" : found.template} strategy file_copy${options.encoding ? ` encoding '${options.encoding}' locale 'C'` : ""}`,
  );

  const url = urlOfDatabase(found.url, name);
  const clients: pg.Client[] = [];
  let kept: Promise<pg.Client> | undefined;

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url });
    // The drop or a test may cut the client. Then a waiting query is rejected, and an idle client must not end the process.
    client.on("error", () => {});
    await client.connect();
    clients.push(client);
    return client;
  }

  return {
    url,
    connect,
    async query<Row extends pg.QueryResultRow>(sql: string, params?: unknown[]) {
      kept ??= connect();
      return (await (await kept).query<Row>(sql, params)).rows;
    },
    async close() {
      await runOnce(found.url, `drop database if exists ${name} with (force)`);
      await Promise.all(clients.map((client) => client.end()));
    },
  };
}

/** Runs one statement outside of the test's database, on the first server. */
export async function administer(sql: string): Promise<void> {
  const [server] = inject("servers");
  if (server) await runOnce(server.url, sql);
}

async function runOnce(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
