import pg from "pg";
import { closeAfterTest } from "./close-after-test.ts";

/** A session that a test holds itself. It is closed when the test ends. */
export async function openClient(url: string, applicationName = "faults"): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: applicationName });
  client.on("error", () => {}); // the query that waits, or the next one, rejects as well
  await client.connect();
  closeAfterTest(() => client.end().catch(() => {})); // its server may be gone
  return client;
}
