import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { createRandom } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { mostReads } from "./support/most-reads.ts";
import type { Postgres } from "./support/postgres.ts";
import { type Delivery, openReaders, type Readers } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { openTrial } from "./support/trial.ts";
import { readTruth, type TruthRow } from "./support/truth.ts";

const FLOOD_SECONDS = 10;
/** Each has its own writer. */
const RECIPIENTS = ["1", "2", "3", "4", "5", "6", "7", "8"];
/** They get nothing; they only add streams. */
const ONLOOKERS = Array.from({ length: 292 }, (_, i) => `onlooker ${i + 1}`);
/** On a machine without other work 200 ms are enough. */
const LAST_ROW_MS = 500;

test.each([
  // Thousands of commits a second.
  { tickMs: 10, pauseMs: 1 },
  // Here only the share holds reads back.
  { tickMs: 100, pauseMs: 5 },
])(
  "in a flood of wake-ups reads take a fifth of the time, with TICK_MS=$tickMs, and 300 streams share one LISTEN",
  async ({ tickMs, pauseMs }) => {
    const { postgres, databaseUrl, service, judge } = await openTrial({
      // Wake-ups are never suspended, or there would be no flood.
      env: {
        TICK_MS: `${tickMs}`,
        WAKEUPS_PER_SECOND_BUSY: "0",
        REPLAY_LIMIT: "100000",
        LOG_LEVEL: "debug",
      },
    });
    const readers = await openReaders(service, {
      streams: RECIPIENTS.length + ONLOOKERS.length,
      recipients: [...RECIPIENTS, ...ONLOOKERS],
      random: createRandom(1),
    });
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
    const limit = mostReads(service.logs(), { ms: seconds * 1000, tickMs });
    expect(reads).toBeLessThan(limit.mostReads);

    const truth = await readTruth(databaseUrl);
    await readers.until(() => readers.deliveries.length >= truth.length, 30_000);
    const lastMs = delayOfLastMs(readers, truth);
    const verdict = await judge({ readers, timeoutMs: 30_000 });
    report({ fault: `flood of wake-ups, TICK_MS=${tickMs}`, verdict });
    console.log(
      `  ${truth.length} commits in ${seconds.toFixed(1)} s, ${heard} wake-ups, ${reads} reads of ${limit.shortestMs.toFixed(2)} ms or more, ` +
        `the last row after ${Math.round(lastMs)} ms`,
    );
    expectExact(verdict, { minReconnects: 0 });
    expect(lastMs).toBeLessThan(LAST_ROW_MS + tickMs);
  },
);

/** Commits one small row after another within the server, which is faster than any client. */
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

/** PostgreSQL has one LISTEN session, and it is the service's. */
async function expectOneListen(postgres: Postgres): Promise<void> {
  const rows = await postgres.query(
    `select application_name as name
       from pg_stat_activity
      where query ilike 'listen%'
         or application_name = 'bellwire listener'`,
  );
  expect(rows).toEqual([{ name: "bellwire listener" }]);
}

/** For the last row: from before its commit until it was shown. PostgreSQL runs on this machine's clock. */
function delayOfLastMs({ deliveries }: Readers, truth: readonly TruthRow[]): number {
  const delaysMs = new Map(deliveries.map((delivery) => [delivery.id, delayMs(delivery)]));
  return delaysMs.get(truth.at(-1)?.id ?? "") ?? Number.NaN;
}

const delayMs = ({ body, at }: Delivery) => performance.timeOrigin + at - Number(body);
