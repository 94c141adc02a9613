import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { seeds } from "../support/random.ts";
import { type RoamingReaders, startRoamingReaders, type Way } from "./support/roaming-readers.ts";
import { runTrial } from "./support/run-trial.ts";
import type { Trial } from "./support/trial.ts";

test.each(seeds())(
  "a client that polls and streams in turn, from one cursor, loses nothing while both instances restart, seed %i",
  async (seed) => {
    const readers = await tryWays("poll and stream", ["stream", "poll"], seed);
    expect(readers.changes()).toBeGreaterThan(200);
  },
);

test.each(seeds())(
  "a client that only polls loses nothing while both instances restart, seed %i",
  async (seed) => {
    await tryWays("polls only", ["poll"], seed);
  },
);

/** Reads for 40 s on two instances. One of them restarts, and the other is killed. */
async function tryWays(fault: string, ways: readonly Way[], seed: number): Promise<RoamingReaders> {
  let readers: RoamingReaders | undefined;
  const trial = await runTrial({
    fault,
    seed,
    instances: 2,
    minReconnects: 500,
    async read(options) {
      readers = await startRoamingReaders({ ...options, ways });
      return readers;
    },
    async harm({ services: [one, other] }, random) {
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
  // Rows arrive during nearly every read, so a poll must not wait for a read without new rows.
  expect(polls.longestMs).toBeLessThan(5000);
  await expectCounts(readers, trial);
  return readers;
}

/** Each reader's last unread count is that of the table. */
async function expectCounts({ readers }: RoamingReaders, { query }: Trial) {
  const rows = await query<{ recipient_id: string; unread: number }>(
    `select recipient_id, count(*) filter (where read_at is null)::int as unread
       from bellwire.notifications
      group by recipient_id`,
  );
  const unread = new Map(rows.map((row) => [row.recipient_id, row.unread]));
  const told = readers.map(({ name, unread }) => [name, unread]);
  expect(told).toEqual(readers.map(({ name, recipientId }) => [name, unread.get(recipientId)]));
}
