import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { Change, Page } from "../../src/changes/changes.ts";
import type { Cursor } from "../../src/changes/cursor.ts";
import { createFeed } from "../../src/feed/feed.ts";
import { createLogger } from "../../src/logger.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const START: Cursor = { epoch: "00000000", at: { xmax: 10n, inProgress: [] } };

const page = (from: Cursor, xmax: bigint, more: Partial<Page> = {}): Page => ({
  epoch: from.epoch,
  from: from.at,
  upto: { xmax, inProgress: [] },
  present: { xmax, inProgress: [] },
  marked: [],
  removed: [],
  changes: [],
  isLast: true,
  remaining: 0,
  revoked: [],
  isForeign: false,
  isExpired: false,
  counts: new Map(),
  moment: { xmax, inProgress: [] },
  suspendedMs: 0,
  ...more,
});

/** A feed, and its log. The test answers the feed's reads one by one. */
function startFeed({ level = "silent", adopt = async () => {} } = {}) {
  const reads: { from: Cursor; answer: (page: Page) => void; fail: (e: Error) => void }[] = [];
  const published: Page[] = [];
  let readAgains = 0;
  let adopted = 0;
  const logged: { msg: string; reason?: string; isRenewal?: boolean }[] = [];
  const log = createLogger(level, { write: (line) => void logged.push(JSON.parse(line)) });
  const feed = createFeed({
    adoptRestoredRows: () => {
      adopted++;
      return adopt();
    },
    now: async () => START,
    read: (from) =>
      new Promise((answer, fail) => {
        reads.push({ from, answer, fail });
      }),
    publish: (page) => void published.push(page),
    readAgain: () => void readAgains++,
    suspendWakeups: async () => {},
    onRead: () => {},
    explain: String,
    sweepMs: 2000,
    tickMs: 10,
    wakeupsPerSecondBusy: 200,
    log,
  });
  onTestFinished(() => feed.close());
  const settle = () => vi.advanceTimersByTimeAsync(0);
  return {
    ...{ feed, reads, published, logged, settle },
    readAgains: () => readAgains,
    adopted: () => adopted,
  };
}

describe("the feed", () => {
  test("has no position before its first read, and then that read's end", async () => {
    const { feed, reads, settle } = startFeed();
    expect(feed.position()).toBeUndefined();
    feed.wake();
    await settle();
    reads[0]?.answer(page(START, 12n));
    await settle();
    expect(feed.position()).toEqual({ epoch: "00000000", at: { xmax: 12n, inProgress: [] } });
    expect(feed.problem()).toBeUndefined();
  });

  test("has one read in flight, and makes one more for all wake-ups during it", async () => {
    const { feed, reads, settle } = startFeed();
    feed.wake();
    await settle();
    for (let i = 0; i < 1000; i++) feed.wake();
    await settle();
    expect(reads).toHaveLength(1);
    reads[0]?.answer(page(START, 11n));
    await settle();
    expect(reads).toHaveLength(2);
    reads[1]?.answer(page(START, 11n));
    await settle();
    expect(reads).toHaveLength(2);
  });

  test("reads for wake-ups at most a fifth of the time, after a short burst", async () => {
    const { feed, reads, settle } = startFeed();
    /** Wakes the feed each millisecond, and answers each read after one. */
    const flood = async (ms: number) => {
      for (; ms > 0; ms--) {
        feed.wake();
        const asked = reads.at(-1);
        await vi.advanceTimersByTimeAsync(1);
        asked?.answer(page(asked.from, 11n));
        await settle();
      }
    };
    await flood(500);
    const before = reads.length;
    expect(before).toBeGreaterThan(140);
    await flood(1000);
    expect(reads.length - before).toBeGreaterThan(180);
    expect(reads.length - before).toBeLessThanOrEqual(200);
  });

  test("rests no longer than a tick, however long a read takes", async () => {
    const { feed, reads, settle } = startFeed();
    for (let i = 0; i < 30; i++) {
      feed.wake();
      await vi.advanceTimersByTimeAsync(10);
      expect(reads).toHaveLength(i + 1);
      await vi.advanceTimersByTimeAsync(500);
      reads.at(-1)?.answer(page(START, 11n));
      await settle();
    }
  });

  test("reads by itself when no wake-up comes, and slows down to one read a sweep", async () => {
    const { feed, reads, settle } = startFeed();
    feed.wake();
    let answered = 0;
    const answerAll = () => {
      for (; answered < reads.length; answered++) reads[answered]?.answer(page(START, 11n));
    };
    const pass = async (ms: number) => {
      for (let i = 0; i < ms; i += 10) {
        await vi.advanceTimersByTimeAsync(10);
        answerAll();
        await settle();
      }
    };
    await pass(100);
    expect(reads.length).toBeGreaterThan(5);
    await pass(42_000);
    const before = reads.length;
    await pass(10_000);
    expect(reads.length - before).toBe(5);
  });

  test("reads at once, and then often, when the listener has reconnected, because wake-ups were missed", async () => {
    const { feed, reads, settle, adopted } = startFeed();
    feed.wake();
    // Long after the start it reads once a sweep.
    for (let second = 0; second < 60; second++) {
      for (const { answer } of reads) answer(page(START, 11n));
      await vi.advanceTimersByTimeAsync(1000);
    }
    const before = reads.length;
    for (const { answer } of reads) answer(page(START, 11n));
    await settle();
    feed.catchUp();
    await settle();
    expect(reads).toHaveLength(before + 1);
    reads.at(-1)?.answer(page(START, 11n));
    await vi.advanceTimersByTimeAsync(20);
    expect(reads).toHaveLength(before + 2);
    // The listener may have reconnected to another server.
    expect(adopted()).toBe(2);
  });

  test("adopts restored rows once more when the listener reconnects during an adoption", async () => {
    let finish = () => {};
    const adopt = () => new Promise<void>((resolve) => (finish = resolve));
    const { feed, reads, settle, adopted } = startFeed({ adopt });
    feed.wake();
    await settle();
    feed.catchUp();
    finish();
    await settle();
    expect([adopted(), reads.length]).toEqual([1, 1]);
    reads[0]?.answer(page(START, 11n));
    await settle();
    expect(adopted()).toBe(2);
  });

  test("keeps its position when a read fails, names the problem, and tries again at the next sweep", async () => {
    const { feed, reads, published, settle } = startFeed();
    feed.wake();
    await settle();
    reads[0]?.fail(new Error("away"));
    await settle();
    expect(feed.problem()).toBe("Error: away");
    expect(published).toEqual([]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(reads[1]?.from).toEqual(START);
    reads[1]?.answer(page(START, 11n));
    await settle();
    expect(feed.problem()).toBeUndefined();
  });

  test("continues a read that failed after its first page, from that page", async () => {
    const { feed, reads, published, settle } = startFeed();
    feed.wake();
    await settle();
    const change = { id: 5n, isNew: true } as Change;
    reads[0]?.answer(page(START, 20n, { changes: [change], isLast: false, remaining: 2 }));
    await settle();
    expect(feed.position()?.at.xmax).toBe(20n);
    reads[1]?.fail(new Error("away"));
    await vi.advanceTimersByTimeAsync(2000);
    const unfinished = { upto: { xmax: 20n, inProgress: [] }, place: { stage: "new", id: 5n } };
    expect(reads[2]?.from).toEqual({ ...START, reading: unfinished });
    reads[2]?.answer(page(START, 20n));
    await settle();
    expect(reads[3]?.from).toEqual({ epoch: "00000000", at: { xmax: 20n, inProgress: [] } });
    expect(published).toHaveLength(2);
  });

  test("resets every stream once, and publishes nothing, when the history has changed", async () => {
    const { feed, reads, published, readAgains, adopted, settle } = startFeed();
    feed.wake();
    await settle();
    expect(adopted()).toBe(1);
    reads[0]?.answer({ ...page(START, 5n, { isForeign: true }), epoch: "11111111" });
    await settle();
    expect(readAgains()).toBe(1);
    expect(published).toEqual([]);
    expect(feed.position()).toEqual({ epoch: "11111111", at: { xmax: 5n, inProgress: [] } });
    feed.wake();
    await settle();
    expect(adopted()).toBe(2);
  });

  test("has every stream read for itself when it is far behind, and goes on from the present", async () => {
    const { feed, reads, published, readAgains, settle } = startFeed();
    feed.wake();
    await settle();
    const change = { id: 5n, isNew: true } as Change;
    reads[0]?.answer(page(START, 20n, { changes: [change], isLast: false, remaining: 20_001 }));
    await settle();
    expect(readAgains()).toBe(1);
    expect(published).toMatchObject([{ changes: [] }]);
    expect(reads).toHaveLength(1);
    feed.wake();
    await settle();
    expect(reads[1]?.from).toEqual({ epoch: "00000000", at: { xmax: 20n, inProgress: [] } });
  });

  test("has every stream read for itself when rows that it had not read were pruned, so that each can be reset", async () => {
    const { feed, reads, published, readAgains, settle } = startFeed();
    feed.wake();
    await settle();
    reads[0]?.answer(page(START, 20n, { isExpired: true, revoked: ["7"] }));
    await settle();
    expect(readAgains()).toBe(1);
    expect(published).toMatchObject([{ changes: [], revoked: ["7"] }]);
    expect(feed.position()?.at.xmax).toBe(20n);
  });

  test("starts no read after it is closed, and publishes the running one", async () => {
    const { feed, reads, published, settle } = startFeed();
    feed.wake();
    await settle();
    feed.close();
    reads[0]?.answer(page(START, 11n));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(published).toHaveLength(1);
    expect(reads).toHaveLength(1);
  });
});

describe("at LOG_LEVEL=debug the feed", () => {
  const debug = { level: "debug" };
  /** Until then it reads more often, because after a start it does not rely on wake-ups alone. */
  const UNTIL_SWEEPS_MS = 24 * 2000;

  /** The reasons in the new log lines with this message. */
  function reasonsOf({ logged }: ReturnType<typeof startFeed>, message: string) {
    const lines = logged.splice(0).filter(({ msg }) => msg === message);
    return lines.map(({ reason }) => reason);
  }

  test("says why it reads: start, wake-up, unfinished read, catch-up, tick, sweep, retry", async () => {
    const started = startFeed(debug);
    const { feed, reads, settle } = started;
    const answer = async (more: Partial<Page> = {}) => {
      reads.at(-1)?.answer(page(START, 11n, more));
      await settle();
    };
    void feed.start();
    await settle();
    await answer();
    expect(reasonsOf(started, "read")).toEqual(["start"]);
    await vi.advanceTimersByTimeAsync(10);
    await answer();
    expect(reasonsOf(started, "read")).toEqual(["tick"]);
    feed.wake();
    await settle();
    await answer({ changes: [{ id: 5n, isNew: true } as Change], isLast: false, remaining: 2 });
    await answer();
    await answer();
    expect(reasonsOf(started, "read")).toEqual(["wake-up", "unfinished read", "unfinished read"]);
    for (let ms = 0; ms < UNTIL_SWEEPS_MS; ms += 100) {
      await vi.advanceTimersByTimeAsync(100);
      await answer();
    }
    expect(reasonsOf(started, "read").at(-1)).toBe("sweep");
    feed.catchUp();
    await settle();
    await answer();
    expect(reasonsOf(started, "read")).toEqual(["catch-up"]);
    feed.wake();
    await settle();
    reads.at(-1)?.fail(new Error("away"));
    await settle();
    expect(reasonsOf(started, "the read failed")).toEqual(["wake-up"]);
    await vi.advanceTimersByTimeAsync(2000);
    await answer();
    expect(reasonsOf(started, "read")).toEqual(["retry"]);
  });

  test("says how long it sleeps, and when it suspends wake-ups or renews the lease", async () => {
    const started = startFeed(debug);
    const { feed, reads, logged, settle } = started;
    let xid = 100n;
    let suspendedMs = 0;
    const answer = async () => {
      const changes = Array.from({ length: 30 }, () => ({ changedXid: xid++ }) as Change);
      reads.at(-1)?.answer(page(START, 11n, { changes, suspendedMs }));
      await settle();
    };
    void feed.start();
    await settle();
    await answer();
    expect(logged).toMatchObject([
      { msg: "read", reason: "start", rows: 30, remaining: 0, ms: 0 },
      { msg: "suspending wake-ups", ms: 1000, isRenewal: false },
      { msg: "sleeping until the next read", ms: 10, reason: "tick" },
    ]);
    logged.length = 0;
    suspendedMs = 400;
    await vi.advanceTimersByTimeAsync(10);
    await answer();
    expect(logged).toMatchObject([
      { msg: "read", reason: "tick" },
      { msg: "suspending wake-ups", isRenewal: true },
      { msg: "sleeping until the next read", ms: 1, reason: "tick" },
    ]);
  });

  test("says none of this at LOG_LEVEL=info", async () => {
    const { feed, reads, logged, settle } = startFeed({ level: "info" });
    feed.wake();
    await settle();
    reads[0]?.answer(page(START, 11n));
    await settle();
    expect(logged).toEqual([]);
  });
});
