import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { createRandom } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { type Delivery, type Readers, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { readTruth, type TruthRow } from "./support/truth.ts";

const FLOOD_SECONDS = 10;
/** Each has a writer of its own. */
const RECIPIENTS = ["1", "2", "3", "4", "5", "6", "7", "8"];
/** Told nothing: they are there to be many. */
const ONLOOKERS = Array.from({ length: 292 }, (_, i) => `onlooker ${i + 1}`);
/** 200 ms for whoever has the machine alone. */
const LAST_ROW_MS = 500;

test.each([
  // Some thousand commits a second, which may leave a machine no time for a read every 10 ms.
  { tickMs: 10, pauseMs: 1 },
  // Here nothing but the limit holds the reads back. A tick's rows are far from a page, the next of which would count.
  { tickMs: 100, pauseMs: 5 },
])(
  "whatever the flood, it is one read every $tickMs ms, and one LISTEN for 300 streams",
  async ({ tickMs, pauseMs }) => {
    const postgres = await startPostgres();
    const databaseUrl = await createMigrated(postgres);
    const service = await startServiceProcess({
      databaseUrl,
      // Never suspended: else there is no flood.
      env: {
        TICK_MS: `${tickMs}`,
        WAKEUPS_PER_SECOND_BUSY: "0",
        REPLAY_LIMIT: "100000",
      },
    });
    await service.waitUntilReady();
    const readers = await startReaders({
      streams: RECIPIENTS.length + ONLOOKERS.length,
      recipients: [...RECIPIENTS, ...ONLOOKERS],
      addresses: () => service.url,
      token: service.token,
      random: createRandom(1),
    });
    await readers.ready();
    const before = await service.metrics();
    expect(before("bellwire_streams")).toBe(300);

    const startedAt = performance.now();
    const flood = Promise.all(
      RECIPIENTS.map((recipientId) => commit(databaseUrl, recipientId, pauseMs)),
    );
    await delay(FLOOD_SECONDS * 500);
    await expectOneListen(postgres);
    await flood;
    const after = await service.metrics();
    const seconds = (performance.now() - startedAt) / 1000;
    const heard = after("bellwire_wakeups_total") - before("bellwire_wakeups_total");
    const reads = after("bellwire_reads_total") - before("bellwire_reads_total");
    expect(heard).toBeGreaterThan(FLOOD_SECONDS * 500); // a flood indeed
    expect(reads).toBeLessThan((seconds * 1000) / tickMs + 20);

    const truth = await readTruth(databaseUrl);
    await readers.until(() => readers.deliveries.length >= truth.length, 30_000);
    const lastMs = delayOfLastMs(readers, truth);
    await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 });
    const verdict = await judge({ postgresUrl: databaseUrl, readers });
    report({ fault: `flood of wake-ups, TICK_MS=${tickMs}`, verdict });
    console.log(
      `  ${truth.length} commits in ${seconds.toFixed(1)} s, ${heard} wake-ups, ${reads} reads, ` +
        `the last row after ${Math.round(lastMs)} ms`,
    );
    expectExact(verdict, { minReconnects: 0 });
    expect(lastMs).toBeLessThan(LAST_ROW_MS + tickMs);
  },
);

/** One small commit after another, within the server: no client can do more of them. */
async function commit(url: string, recipientId: string, pauseMs: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // The body is the time before the commit, in milliseconds.
  await client.query(`
    do $$
    begin
      while clock_timestamp() < statement_timestamp() + interval '${FLOOD_SECONDS} s' loop
        perform bellwire.notify('${recipientId}', 'test',
                                body => (extract(epoch from clock_timestamp()) * 1000)::text);
        commit;
        perform pg_sleep(${pauseMs / 1000});
      end loop;
    end $$`);
  await client.end();
}

/** As PostgreSQL sees it. */
async function expectOneListen(postgres: Postgres): Promise<void> {
  const rows = await postgres.query(
    `select application_name as name
       from pg_stat_activity
      where query ilike 'listen%'
         or application_name = 'bellwire listener'`,
  );
  expect(rows).toEqual([{ name: "bellwire listener" }]);
}

/** From before the commit of the row that was the last to be written; PostgreSQL's clock is ours. */
function delayOfLastMs({ deliveries }: Readers, truth: readonly TruthRow[]): number {
  const delaysMs = new Map(deliveries.map((delivery) => [delivery.id, delayMs(delivery)]));
  return delaysMs.get(truth.at(-1)?.id ?? "") ?? Number.NaN;
}

const delayMs = ({ body, at }: Delivery) => performance.timeOrigin + at - Number(body);
