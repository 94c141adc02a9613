import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { closeAfterTest } from "./close-after-test.ts";
import type { Delivery, Reader, ReaderLog } from "./readers.ts";

export type NaiveReader = Awaited<ReturnType<typeof startNaiveReader>>;

/**
 * The first idea for a reader: ask for ids greater than the last. It loses rows that take their id early and commit
 * late. It is here to show that the checker finds these.
 */
export async function startNaiveReader({
  url,
  recipients,
}: {
  url: string;
  recipients: readonly string[];
}): Promise<ReaderLog & { close(): Promise<void> }> {
  const readers = recipients.map(
    (recipientId): Reader => ({
      name: `naive reader of ${recipientId}`,
      recipientId,
      connections: 1,
      statuses: new Map(),
      isReadById: undefined,
    }),
  );
  const deliveries: Delivery[] = [];
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let isClosed = false;

  async function run() {
    let last = "0";
    while (!isClosed) {
      const { rows } = await client.query<{ id: string; recipient_id: string; body: string }>(
        "select id, recipient_id, body from bellwire.notifications where id > $1 order by id",
        [last],
      );
      for (const { id, recipient_id: recipientId, body } of rows) {
        const reader = `naive reader of ${recipientId}`;
        const at = performance.now();
        deliveries.push({
          ...{ reader, recipientId, id, title: null, body, at },
          ...{ connection: 1, resumedFrom: undefined, cursor: id },
        });
        last = id;
      }
      await delay(20);
    }
    await client.end();
  }

  const running = run();
  async function close(): Promise<void> {
    isClosed = true;
    await running;
  }
  closeAfterTest(close);
  return { readers, deliveries, resets: [], close };
}
