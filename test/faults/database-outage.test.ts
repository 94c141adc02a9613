import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { REFUSAL } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const RECIPIENTS = ["1", "2", "3", "4", "5"];
const NOTIFY = "select bellwire.notify('1', 'test', body => $1)";
const NOT_LISTENING = "the LISTEN connection cannot be made or was lost";
const NOT_READING = "the database does not answer";

test.each([5, 30])(
  "an open stream continues within 10 s after PostgreSQL was down for %i s",
  async (seconds) => {
    const [seed = 0] = seeds();
    const random = createRandom(seed);
    // Without sweeps only NOTIFY, and a new LISTEN after the outage, make this instance read.
    const env = { SWEEP_MS: "600000" };
    const { postgres, databaseUrl, service, query, judge } = await openTrial({ env });
    // This instance sweeps: it reads during the outage too, and reports that it cannot.
    const sweeping = await startServiceProcess({ databaseUrl });
    await sweeping.waitUntilReady();
    const pids = [service.pid(), sweeping.pid()];
    const readers = await openReaders(service, {
      streams: 10,
      recipients: RECIPIENTS,
      random: random.fork(),
    });
    const writers = await startWriters({
      url: databaseUrl,
      count: 4,
      recipients: RECIPIENTS,
      random: random.fork(),
      pauseMs: [20, 100],
    });
    await readers.until(() => readers.deliveries.length > 20, 10_000);

    const stoppedAt = performance.now();
    await postgres.stop("immediate");
    await expectUnready(service, [NOT_LISTENING]);
    await expectUnready(sweeping, [NOT_LISTENING, NOT_READING]);
    expect((await service.metrics())("bellwire_listener_up")).toBe(0);
    expect((await sweeping.metrics())("bellwire_listener_up")).toBe(0);
    expect((await sweeping.metrics())("bellwire_feed_up")).toBe(0);
    expect(await readStream(service)).toMatch(REFUSAL);
    await delay(seconds * 1000 - (performance.now() - stoppedAt));
    await writers.stop(); // none could connect
    await postgres.start();
    const startedAt = performance.now();
    // Most likely the service does not listen again yet, and no other NOTIFY follows.
    await query(NOTIFY, ["the first"]);
    writers.committed.set("the first", performance.now());
    await readers.until(() => readers.deliveries.at(-1)?.body === "the first", 10_000);
    const healMs = performance.now() - startedAt;

    await service.waitUntilReady(20_000);
    await sweeping.waitUntilReady(20_000);
    expect((await service.metrics())("bellwire_listener_up")).toBe(1);
    expect((await sweeping.metrics())("bellwire_listener_up")).toBe(1);
    expect((await sweeping.metrics())("bellwire_feed_up")).toBe(1);
    const verdict = await judge({ readers, writers, timeoutMs: 30_000 });
    report({ fault: `database down for ${seconds} s`, seed, verdict: { ...verdict, healMs } });
    expectExact(verdict, { minReconnects: 0 });
    expect(verdict.reconnects).toBe(0);
    expect([service.pid(), sweeping.pid()]).toEqual(pids);
    expect([...service.exits, ...sweeping.exits]).toEqual([]);
    for (const { logs } of [service, sweeping]) {
      expect(logs().filter(({ msg }) => msg === "not listening")).toHaveLength(1);
      expect(logs().filter(({ msg }) => msg === "listening")).toHaveLength(2);
    }
    const feed = sweeping.logs().filter(({ msg }) => /^cannot read|^reading again/.test(msg));
    expect(feed.map(({ problem }) => problem)).toEqual([NOT_READING, undefined]);
  },
);

async function expectUnready({ readiness }: ServiceProcess, problems: string[]): Promise<void> {
  await expect
    .poll(readiness, { timeout: 20_000 })
    .toMatchObject({ status: 503, body: { problems: expect.arrayContaining(problems) } });
}

/** Reads a stream to its end. Its status must be 200, because an EventSource does not reconnect after another one. */
async function readStream({ url, token }: ServiceProcess): Promise<string> {
  const response = await fetch(`${url}/api/notifications/stream`, {
    headers: { authorization: `Bearer ${await token("1")}` },
    signal: AbortSignal.timeout(15_000),
  });
  expect(response.status).toBe(200);
  return await response.text();
}
