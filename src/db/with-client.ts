import type pg from "pg";

/**
 * A client of the pool for work that is more than one statement. One whose work failed is not used again: that rolls back,
 * whatever state it is in.
 */
export async function withClient<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  // The query that is running rejects, too; unheard, the event would end the process.
  const ignore = () => {};
  client.on("error", ignore);
  let failure: Error | boolean = false;
  try {
    return await work(client);
  } catch (err) {
    failure = err instanceof Error ? err : true;
    throw err;
  } finally {
    client.release(failure);
    client.off("error", ignore);
  }
}
