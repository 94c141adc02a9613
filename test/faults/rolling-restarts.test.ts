import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectExact } from "./support/checker.ts";
import { startLoop } from "./support/loop.ts";
import { createRawReaders, type RawReader } from "./support/raw-stream.ts";
import { report } from "./support/report.ts";
import { openTrial } from "./support/trial.ts";

const STREAMS = 1000;
const RESTARTS = 10;
const DRAIN_SECONDS = 3;
const RECIPIENTS = Array.from({ length: 100 }, (_, i) => `${i + 1}`);

/** Reconnects like a browser: with its last id, after the `retry` that it was told. */
function stayConnected(
  reader: RawReader,
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

test("ten restarts with a thousand streams lose nothing, and at most two fifths reconnect in one second", async () => {
  const { service, query, judge } = await openTrial({
    env: { MAX_STREAMS_PER_RECIPIENT: "50", DRAIN_SECONDS: `${DRAIN_SECONDS}` },
  });
  const reconnectedAt: number[] = [];
  const { readers, log } = await createRawReaders(service, RECIPIENTS, STREAMS);
  let ready = 0;
  const leave = readers.map((reader) =>
    stayConnected(reader, {
      onReady: () => ready++,
      onReconnect: () => reconnectedAt.push(Date.now()),
    }),
  );
  // The service counts a stream before the stream is ready, so its metric would be too early.
  await expect.poll(() => ready, { timeout: 60_000 }).toBe(STREAMS);
  const areOpen = async () => (await service.metrics().catch(() => () => 0))("bellwire_streams");

  let written = 0;
  const writing = startLoop(async () => {
    const sql =
      "select bellwire.notify((1 + floor(random() * 100))::int::text, 'test', body => $1)";
    await query(sql, [`${written++}`]);
    await delay(20);
  });

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
  await writing.close();
  const verdict = await judge({ readers: log, timeoutMs: 60_000 });
  await Promise.all(leave.map((close) => close()));
  report({ fault: "ten rolling restarts", verdict });
  console.log(`  busiest second of a restart: ${worst} of ${STREAMS} reconnected`);
  expectExact(verdict, { minReconnects: STREAMS * RESTARTS });
  expect(worst).toBeLessThanOrEqual(0.4 * STREAMS);
  for (const { statuses } of log.readers) expect([...statuses.keys()]).toEqual([200]);
});
