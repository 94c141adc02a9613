import pg from "pg";

/** One connection for one piece of work. An unfinished transaction ends with it. */
export async function withClient<T>(
  connectionString: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString, application_name: "bellwire migrate" });
  // The query in flight rejects with the same error; without a listener it would end the process too.
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
