import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { createRawReader } from "./support/raw-stream.ts";
import type { Delivery } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const STREAMS = 1000;
const RESTARTS = 10;
const DRAIN_SECONDS = 3;
const RECIPIENTS = Array.from({ length: 100 }, (_, i) => `${i + 1}`);

/** Stays connected as a browser does: comes again when it was told to, with its last id. */
function stayConnected(
  reader: ReturnType<typeof createRawReader>,
  { onReady, onReconnect }: { onReady: () => void; onReconnect: () => void },
) {
  let isClosed = false;
  async function run() {
    while (!isClosed) {
      await reader.open().then(onReady, () => {});
      await reader.ended();
      await delay(reader.retryMs());
      if (!isClosed) onReconnect();
    }
  }
  void run();
  return () => {
    isClosed = true;
    return reader.close();
  };
}

test("ten restarts under a thousand streams lose nothing, and never does half of them come back at once", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({
    databaseUrl,
    env: { MAX_STREAMS_PER_RECIPIENT: "50", DRAIN_SECONDS: `${DRAIN_SECONDS}` },
  });
  await service.waitUntilReady();
  const deliveries: Delivery[] = [];
  const reconnectedAt: number[] = [];
  const tokens = new Map<string, string>();
  for (const recipientId of RECIPIENTS) tokens.set(recipientId, await service.token(recipientId));
  const readers = Array.from({ length: STREAMS }, (_, i) => {
    const recipientId = RECIPIENTS[i % RECIPIENTS.length] ?? "";
    const token = tokens.get(recipientId) ?? "";
    const name = `reader ${i + 1}`;
    return createRawReader({ name, recipientId, token, address: service.url, deliveries });
  });
  let ready = 0;
  const leave = readers.map((reader) =>
    stayConnected(reader, {
      onReady: () => ready++,
      onReconnect: () => reconnectedAt.push(Date.now()),
    }),
  );
  // Not when the service counts them: a stream begins with its first read.
  await expect.poll(() => ready, { timeout: 60_000 }).toBe(STREAMS);
  const areOpen = async () => (await service.metrics().catch(() => () => 0))("bellwire_streams");

  let isWriting = true;
  const writing = (async () => {
    const client =
      "select bellwire.notify((1 + floor(random() * 100))::int::text, 'test', body => $1)";
    for (let n = 0; isWriting; n++) {
      await postgres.query(client, [`${n}`], "bellwire");
      await delay(20);
    }
  })();

  let worst = 0;
  for (let restart = 0; restart < RESTARTS; restart++) {
    reconnectedAt.length = 0;
    const exit = await service.restart("SIGTERM");
    expect(exit.code).toBe(0);
    expect(exit.afterMs).toBeLessThanOrEqual(DRAIN_SECONDS * 1000 + 1000);
    await expect.poll(areOpen, { timeout: 60_000 }).toBe(STREAMS);
    const first = Math.min(...reconnectedAt);
    const bySecond = new Map<number, number>();
    for (const at of reconnectedAt) {
      const second = Math.floor((at - first) / 1000);
      bySecond.set(second, (bySecond.get(second) ?? 0) + 1);
    }
    worst = Math.max(worst, ...bySecond.values());
  }
  isWriting = false;
  await writing;
  const log = { readers: readers.map(({ reader }) => reader), deliveries, resets: [] };
  await settle({ postgresUrl: databaseUrl, readers: log, timeoutMs: 60_000 });
  await Promise.all(leave.map((close) => close()));
  const verdict = await judge({ postgresUrl: databaseUrl, readers: log });
  report({ fault: "ten rolling restarts", verdict });
  console.log(`  busiest second of a restart: ${worst} of ${STREAMS} came back`);
  expectExact(verdict, { minReconnects: STREAMS * RESTARTS });
  expect(worst).toBeLessThanOrEqual(0.4 * STREAMS);
  for (const { statuses } of log.readers) expect([...statuses.keys()]).toEqual([200]);
});
