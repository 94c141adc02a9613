import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { seeds } from "../support/random.ts";
import { type Postgres, startPostgres } from "./support/postgres.ts";
import { type RoamingReaders, startRoamingReaders, type Way } from "./support/roaming-readers.ts";
import { runTrial } from "./support/trial.ts";

test.each(seeds())(
  "a client may poll and stream by turns on one cursor, while both instances restart, seed %i",
  async (seed) => {
    const readers = await tryWays("poll and stream", ["stream", "poll"], seed);
    expect(readers.changes()).toBeGreaterThan(200);
  },
);

test.each(seeds())(
  "a client that only polls misses nothing either, while both instances restart, seed %i",
  async (seed) => {
    await tryWays("polls only", ["poll"], seed);
  },
);

/** 40 s on two instances, of which one restarts and the other is killed. */
async function tryWays(fault: string, ways: readonly Way[], seed: number): Promise<RoamingReaders> {
  const postgres = await startPostgres();
  let readers: RoamingReaders | undefined;
  await runTrial({
    fault,
    seed,
    postgres,
    services: 2,
    minReconnects: 500,
    async read(options) {
      readers = await startRoamingReaders({ ...options, ways });
      return readers;
    },
    async harm([one, other], random) {
      await delay(random.between(8000, 14_000));
      await one.restart("SIGTERM");
      await delay(random.between(8000, 14_000));
      await other?.restart("SIGKILL");
      await delay(14_000);
      return ["restart one", "kill the other"];
    },
  });
  if (!readers) throw new Error("nobody read");
  const { polls } = readers;
  console.log(
    `  ${polls.answered} polls answered (${polls.empty} with nothing), ${polls.failed} refused or cut, ` +
      `${polls.givenUp} given up; the longest took ${(polls.longestMs / 1000).toFixed(1)} s beyond its wait; ${readers.changes()} changes between poll and stream`,
  );
  const statuses = new Set(readers.readers.flatMap(({ statuses }) => [...statuses.keys()]));
  statuses.delete(503);
  expect([...statuses]).toEqual([200]);
  expect(polls.answered).toBeGreaterThan(500);
  // Something comes during nearly every read here: nobody may wait for one during which nothing does.
  expect(polls.longestMs).toBeLessThan(5000);
  await expectCounts(readers, postgres, `trial_${seed}`);
  return readers;
}

/** That what each reader was last told of its unread is what the table says. */
async function expectCounts(readers: RoamingReaders, postgres: Postgres, database: string) {
  const rows = await postgres.query<{ recipient_id: string; unread: number }>(
    `select recipient_id, count(*) filter (where read_at is null)::int as unread
       from bellwire.notifications
      group by recipient_id`,
    [],
    database,
  );
  const unread = new Map(rows.map((row) => [row.recipient_id, row.unread]));
  const told = readers.readers.map(({ name, unread }) => [name, unread]);
  expect(told).toEqual(
    readers.readers.map(({ name, recipientId }) => [name, unread.get(recipientId)]),
  );
}
