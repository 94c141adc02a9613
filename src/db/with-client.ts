import type pg from "pg";

/**
 * Runs work of several statements on one client of the pool. A client whose work failed is discarded: ending its connection
 * rolls back, whatever state the transaction is in.
 */
export async function withClient<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  // When the connection is lost, the running query rejects as well. Without a handler this event would end the process.
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
