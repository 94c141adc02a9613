import pg from "pg";

/** Runs work on a new connection, and closes the connection afterwards. That rolls back an unfinished transaction. */
export async function withConnection<T>(
  connectionString: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString, application_name: "bellwire migrate" });
  // The running query rejects with the same error. Without a handler this event would end the process.
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
