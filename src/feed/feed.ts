import type { Page } from "../changes/changes.ts";
import { createPace, LEASE_MS, type PaceOptions } from "./pace.ts";
import { createReader, type ReaderOptions, type ReadReason } from "./reader.ts";

export interface FeedOptions extends PaceOptions, Omit<ReaderOptions, "onPage"> {
  /** Suspends wake-ups for this long. */
  suspendWakeups: (ms: number) => Promise<void>;
  onRead: (page: Page) => void;
  /** Why a read failed, in a sentence for the operator. */
  explain: (err: unknown) => string;
}

export type Feed = ReturnType<typeof createFeed>;

const NOT_YET = "the database has not been read yet";

/**
 * Decides when to read, and reads (see `createReader`).
 *
 * States: *starting* until the first read has given a position; then *idle*, *busy* or *leaving*. These three decide when it reads
 * and whether it suspends wake-ups: see `createPace`. One read runs at a time. All wake-ups during a read cause one more read in
 * all. A failed read is repeated at the next wake-up or sweep, so no row depends on a single wake-up.
 */
export function createFeed(options: FeedOptions) {
  const { onRead, explain, sweepMs, log } = options;
  const pace = createPace(options, performance.now());
  const reader = createReader({ ...options, onPage });
  let problem: string | undefined = NOT_YET;
  let running: Promise<void> | undefined;
  /** What woke the feed while a read was running, or in busy mode. */
  let wokenBy: ReadReason | undefined;
  /** The timer will start the read of a wake-up. */
  let isScheduled = false;
  let isSuspending = false;
  let isClosed = false;
  let startedAt = performance.now();
  let lastReadAt = startedAt;
  let timer: NodeJS.Timeout | undefined;

  function onPage(page: Page, askedAt: number) {
    onRead(page);
    lastReadAt = performance.now();
    pace.recordRead(page, askedAt, lastReadAt);
    if (pace.isWorthSuspending(lastReadAt)) suspendWakeups(lastReadAt);
  }

  function suspendWakeups(now: number) {
    if (isSuspending || isClosed) return;
    isSuspending = true;
    const isRenewal = pace.isBusy(now);
    log.debug({ ms: LEASE_MS, isRenewal }, "suspending wake-ups");
    pace.expectUnannounced(now);
    options
      .suspendWakeups(LEASE_MS)
      .catch((err) => {
        if (!isClosed) log.warn({ err }, "cannot suspend wake-ups");
      })
      .finally(() => {
        isSuspending = false;
      });
  }

  async function run(reason: ReadReason) {
    startedAt = performance.now();
    try {
      await reader.readToPresent(reason);
      if (problem && problem !== NOT_YET) log.info("reading again");
      problem = undefined;
    } catch (err) {
      fail(err, reason);
    }
  }

  function fail(err: unknown, reason: ReadReason) {
    const found = explain(err);
    log.debug({ reason, problem: found }, "the read failed");
    if (found !== problem && !isClosed)
      log.warn({ err, problem: found }, "cannot read; trying again at every sweep");
    problem = found;
  }

  function start(reason: ReadReason) {
    isScheduled = false;
    wokenBy = undefined;
    running = run(reason).finally(() => {
      running = undefined;
      // After a failure a wake-up must not cause the next read at once, because while the database is unavailable that is a busy loop.
      if (wokenBy && !problem) wake(wokenBy);
      if (!running && !isScheduled) sleep();
    });
  }

  function startIn(ms: number, reason: ReadReason) {
    clearTimeout(timer);
    if (isClosed) return;
    log.debug({ ms, reason }, "sleeping until the next read");
    timer = setTimeout(start, ms, reason);
  }

  /** Waits as long as the pace says, or after a failure until the sweep. A wake-up may start a read earlier. */
  function sleep() {
    if (problem) return startIn(sweepMs, "retry");
    const now = performance.now();
    const pollMs = pace.pollMs(now);
    const ms = Math.max(pace.restMs(now), startedAt + pollMs - now, 1);
    startIn(ms, pollMs < sweepMs ? "tick" : "sweep");
  }

  function wake(reason: ReadReason) {
    wokenBy = reason;
    const now = performance.now();
    // In busy mode the next read is at most a tick away.
    if (running || isScheduled || isClosed || pace.isBusy(now)) return;
    isScheduled = true;
    const ms = pace.restMs(now);
    if (ms > 0) return startIn(ms, reason);
    clearTimeout(timer);
    start(reason);
  }

  return {
    /** Reads for the first time. Resolves after that read, whether or not it succeeded. */
    async start(): Promise<void> {
      start("start");
      await running;
    },

    /** There may be something to read. */
    wake: () => wake("wake-up"),

    /** The listener has just (re)connected. It heard nothing before that, so the feed reads now. */
    catchUp() {
      reader.adoptAgain();
      pace.expectUnannounced(performance.now());
      wake("catch-up");
    },

    /** Another part of this process keeps wake-ups suspended, or no longer does. */
    setHeld(isHeld: boolean) {
      pace.setHeld(isHeld, performance.now());
      if (!running && !isScheduled && !isClosed) sleep();
    },

    /** Whether wake-ups are suspended for now, so that the feed reads at least every tick. */
    isBusy: () => pace.isBusy(performance.now()),

    position: reader.position,

    /** Why the last read failed, in a sentence for the operator; undefined when it succeeded. */
    problem: () => problem,

    /** Seconds since the last successful read; before the first, since the start. Sweeps keep it small. */
    readAgeSeconds: () => (performance.now() - lastReadAt) / 1000,

    /** Starts no more reads. A running read ends with its answer, or with its connection. */
    close() {
      isClosed = true;
      reader.close();
      clearTimeout(timer);
    },
  };
}
