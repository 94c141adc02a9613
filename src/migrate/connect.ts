import { Socket } from "node:net";
import pg from "pg";
import { explainConnectionError } from "./connection-error.ts";
import { MigrationError } from "./error.ts";

/** A managed database that sleeps when idle takes up to 20 s to wake up. */
const CONNECT_LIMIT_MS = 30_000;

type Options = { name?: string; limitMs?: number };

/**
 * Runs work on a new connection, and closes the connection afterwards. That rolls back an unfinished transaction. If the connection
 * cannot be made, the error says what to do.
 */
export async function withConnection<T>(
  url: string,
  work: (client: pg.Client) => Promise<T>,
  options: Options = {},
): Promise<T> {
  const client = await connect(url, options).catch((cause: unknown) => {
    throw new ConnectionError(url, cause);
  });
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The connection could not be made. */
export class ConnectionError extends MigrationError {
  override name = "ConnectionError";
  /** Waiting does not help. */
  readonly needsPerson: boolean;
  /** The driver's error, which can hold the password of a URL that it cannot read, is not the cause. */
  constructor(url: string, err: unknown) {
    const { what, todo, needsPerson } = explainConnectionError(err, url);
    super(`${what} ${todo}`);
    this.needsPerson = needsPerson;
  }
}

async function connect(
  connectionString: string,
  { name = "bellwire migrate", limitMs = CONNECT_LIMIT_MS }: Options,
): Promise<pg.Client> {
  const socket = new Socket();
  const client = new pg.Client({
    connectionString,
    application_name: name,
    connectionTimeoutMillis: limitMs,
    stream: () => socket,
  });
  // The running query rejects with the same error. Without a handler this event would end the process.
  client.on("error", () => {});
  await client.connect().catch((err) => {
    // The driver leaves it open if it has no password: until the server hangs up after a minute, the process would not end.
    socket.destroy();
    throw err;
  });
  return client;
}
