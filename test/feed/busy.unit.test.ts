import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Change, Page } from "../../src/changes/changes.ts";
import type { Cursor } from "../../src/changes/cursor.ts";
import { createFeed, type Feed } from "../../src/feed/feed.ts";
import { createLogger } from "../../src/logger.ts";

const log = createLogger("silent");
const SWEEP_MS = 2000;
const TICK_MS = 10;
/** For this long after its start the feed does not rely on wake-ups alone. */
const UNTIL_IDLE_MS = 21 * SWEEP_MS;
/** Maximum time that a read, a suspension or a wake-up takes, each way. */
const WAY_MS = 3;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Row {
  xid: bigint;
  /** When its trigger checked whether wake-ups are suspended. */
  lookedAt: number;
  committedAt: number;
}

/**
 * The database as a feed's pace sees it: transactions that check whether wake-ups are suspended, commit later, and wake all
 * listeners; a lease; and services that come and go. `way` returns how long each message takes.
 */
function createWorld(way: () => number) {
  const committed: Row[] = [];
  const listening = new Set<Feed>();
  let suspendedUntil = 0;
  let nextXid = 1n;
  const counts = { suspensions: 0, reads: 0 };
  const suspendedMs = () => Math.max(0, suspendedUntil - performance.now());
  const delay = () => new Promise((resolve) => setTimeout(resolve, way()));

  function wakeAll() {
    for (const feed of listening)
      setTimeout(() => {
        if (listening.has(feed)) feed.wake();
      }, way());
  }

  return {
    committed,
    counts,
    suspendForGood: () => {
      suspendedUntil = Number.POSITIVE_INFINITY;
    },

    transact(holdMs: number) {
      const row = { xid: nextXid++, lookedAt: performance.now(), committedAt: 0 };
      const isAnnounced = suspendedMs() === 0;
      setTimeout(() => {
        row.committedAt = performance.now();
        committed.push(row);
        if (isAnnounced) wakeAll();
      }, holdMs);
    },

    /** Starts a service, and records when it saw each row that was committed meanwhile. */
    start({ isDeaf = false, wakeupsPerSecondBusy = 200 } = {}) {
      const seenAt = new Map<Row, number>();
      let position = committed.length;
      const startedAt = performance.now();
      const feed = createFeed({
        adoptRestoredRows: async () => {},
        now: async () => FROM,
        async read(from): Promise<Page> {
          counts.reads++;
          await delay();
          const rows = committed.slice(position);
          position = committed.length;
          const page = { ...EMPTY, from: from.at, suspendedMs: suspendedMs() };
          await delay();
          for (const row of rows) seenAt.set(row, performance.now());
          return {
            ...page,
            changes: rows.map((row) => ({ changedXid: row.xid, isNew: true }) as Change),
          };
        },
        publish: () => {},
        readAgain: () => {},
        async suspendWakeups(ms) {
          await delay();
          counts.suspensions++;
          if (suspendedUntil < Number.POSITIVE_INFINITY) {
            if (suspendedMs() === 0) wakeAll();
            suspendedUntil = performance.now() + ms;
          }
          await delay();
        },
        onRead: () => {},
        explain: String,
        sweepMs: SWEEP_MS,
        tickMs: TICK_MS,
        wakeupsPerSecondBusy,
        log,
      });
      void feed.start();
      if (!isDeaf) listening.add(feed);
      return {
        feed,
        seenAt,
        startedAt,
        stoppedAt: Number.POSITIVE_INFINITY,
        stop() {
          this.stoppedAt = Math.min(this.stoppedAt, performance.now());
          listening.delete(feed);
          feed.close();
        },
      };
    },
  };
}

const FROM: Cursor = { epoch: "00000000", at: { xmax: 10n, inProgress: [] } };
const EMPTY: Page = {
  epoch: FROM.epoch,
  from: FROM.at,
  upto: FROM.at,
  present: FROM.at,
  moment: FROM.at,
  marked: [],
  removed: [],
  changes: [],
  isLast: true,
  remaining: 0,
  revoked: [],
  counts: new Map(),
  suspendedMs: 0,
  isForeign: false,
  isExpired: false,
};

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("burst" as const),
      count: fc.nat({ max: 300 }),
      gapMs: fc.constantFrom(0.2, 1, 4),
      holdMs: fc.constantFrom(0, 1, 20, 1200),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("pass" as const),
      ms: fc.constantFrom(1, 30, 300, 5000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("start" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("stop" as const), which: fc.nat({ max: 3 }) }),
  },
);

test("no row waits longer than two ticks and a twentieth of its commit, while services start and stop", async () => {
  let busiest = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: 12 }),
      fc.infiniteStream(fc.double({ min: 0.1, max: WAY_MS, noNaN: true })),
      async (steps, ways) => {
        const world = createWorld(() => ways.next().value);
        const services = [world.start()];
        await vi.advanceTimersByTimeAsync(100);
        for (const act of steps) {
          if (act.do === "pass") await vi.advanceTimersByTimeAsync(act.ms);
          else if (act.do === "start" && services.length < 5) services.push(world.start());
          else if (act.do === "stop") services[act.which]?.stop();
          else if (act.do === "burst")
            for (let i = 0; i < act.count; i++) {
              // One in thirty delays its commit.
              world.transact(i % 30 === 0 ? act.holdMs : 0);
              await vi.advanceTimersByTimeAsync(act.gapMs);
            }
        }
        await vi.advanceTimersByTimeAsync(SWEEP_MS * 2);
        busiest = Math.max(busiest, world.counts.suspensions);
        for (const { seenAt, startedAt, stoppedAt, ...service } of services) {
          for (const row of world.committed) {
            if (row.committedAt < startedAt + 100 || row.committedAt > stoppedAt - SWEEP_MS)
              continue;
            const waitedMs = (seenAt.get(row) ?? Number.POSITIVE_INFINITY) - row.committedAt;
            const ownMs = row.committedAt - row.lookedAt;
            expect(waitedMs).toBeLessThanOrEqual(2 * TICK_MS + ownMs / 20 + 6 * WAY_MS);
          }
          if (stoppedAt === Number.POSITIVE_INFINITY) service.stop();
        }
      },
    ),
    { numRuns: 100 },
  );
  expect(busiest).toBeGreaterThan(1);
});

/** Commits this many transactions, one each millisecond. */
async function burst(world: ReturnType<typeof createWorld>, count: number) {
  for (let i = 0; i < count; i++) {
    world.transact(0);
    await vi.advanceTimersByTimeAsync(1);
  }
}

/** How long after its commit the service saw the last row. */
function lastWaitMs(
  world: ReturnType<typeof createWorld>,
  { seenAt }: { seenAt: Map<Row, number> },
) {
  const row = world.committed.at(-1) as Row;
  return (seenAt.get(row) ?? Number.POSITIVE_INFINITY) - row.committedAt;
}

test("a service follows when another suspends wake-ups, even if it has no reason itself", async () => {
  const world = createWorld(() => 1);
  const quiet = world.start({ wakeupsPerSecondBusy: 0 });
  // It hears nothing. So it finds many rows at once, at its next sweep.
  const deaf = world.start({ isDeaf: true });
  await vi.advanceTimersByTimeAsync(UNTIL_IDLE_MS);
  for (let i = 0; i < 100; i++) world.transact(0);
  while (world.counts.suspensions === 0) await vi.advanceTimersByTimeAsync(TICK_MS);
  await vi.advanceTimersByTimeAsync(50);
  await burst(world, 1);
  await vi.advanceTimersByTimeAsync(50);
  for (const service of [quiet, deaf]) {
    expect(lastWaitMs(world, service)).toBeLessThan(2 * TICK_MS);
    service.stop();
  }
});

test("a service that hears nothing reads every tick once it has suspended wake-ups itself", async () => {
  const world = createWorld(() => 1);
  const service = world.start({ isDeaf: true });
  await vi.advanceTimersByTimeAsync(UNTIL_IDLE_MS);
  for (let i = 0; i < 100; i++) world.transact(0);
  while (world.counts.suspensions === 0) await vi.advanceTimersByTimeAsync(TICK_MS);
  await vi.advanceTimersByTimeAsync(50);
  await burst(world, 1);
  await vi.advanceTimersByTimeAsync(50);
  expect(lastWaitMs(world, service)).toBeLessThan(2 * TICK_MS);
  service.stop();
});

test("while wake-ups are suspended for good, it reads every tick as long as reads find rows, and slows down to the sweep", async () => {
  const world = createWorld(() => 1);
  const service = world.start();
  world.suspendForGood();
  await vi.advanceTimersByTimeAsync(3 * SWEEP_MS);
  await burst(world, 100);
  await vi.advanceTimersByTimeAsync(SWEEP_MS + 10);
  await burst(world, 1);
  await vi.advanceTimersByTimeAsync(SWEEP_MS / 10);
  expect(lastWaitMs(world, service)).toBeLessThan(SWEEP_MS / 10);
  expect(world.counts.suspensions).toBe(0);
  await vi.advanceTimersByTimeAsync(100 * SWEEP_MS);
  const before = world.counts.reads;
  await vi.advanceTimersByTimeAsync(10 * SWEEP_MS);
  expect(world.counts.reads - before).toBeLessThanOrEqual(11);
  service.stop();
});

test("with WAKEUPS_PER_SECOND_BUSY=0 it never suspends wake-ups", async () => {
  const world = createWorld(() => 1);
  const service = world.start({ wakeupsPerSecondBusy: 0 });
  await burst(world, 1000);
  await vi.advanceTimersByTimeAsync(100);
  expect(world.counts.suspensions).toBe(0);
  expect(lastWaitMs(world, service)).toBeLessThan(2 * TICK_MS + 10);
  service.stop();
});

test("a writer that waits for each of its rows to arrive keeps nobody waiting, so wake-ups are not suspended", async () => {
  const world = createWorld(() => 0.2);
  const service = world.start();
  for (let i = 0; i < 2000; i++) {
    world.transact(0);
    while (service.seenAt.size <= i) await vi.advanceTimersByTimeAsync(0.2);
  }
  expect(world.counts.suspensions).toBe(0);
  service.stop();
});
