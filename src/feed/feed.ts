import type { Page } from "../changes/changes.ts";
import { type Cursor, lastPlace } from "../changes/cursor.ts";
import type { Logger } from "../logger.ts";
import { createPace, LEASE_MS, type PaceOptions } from "./pace.ts";

export interface FeedOptions extends PaceOptions {
  /** Turns rows of another history into old ones; see `bellwire.adopt_restored_rows()`. */
  adoptRestoredRows: () => Promise<void>;
  now: () => Promise<Cursor>;
  read: (from: Cursor) => Promise<Page>;
  /** Has no wake-ups sent for so long. */
  suspendWakeups: (ms: number) => Promise<void>;
  /** `askedAt`, in milliseconds of `performance.now()`, is when they were asked for. */
  publish: (page: Page, askedAt: number) => void;
  /** Every stream reads for itself, from where it is. */
  readAgain: () => void;
  onRead: (page: Page) => void;
  /** Why a read failed, in a sentence for the operator. */
  explain: (err: unknown) => string;
  log: Logger;
}

/** Where a reader goes on who has had this page. */
function endOf(page: Page): Cursor {
  const { epoch, from, upto, isLast } = page;
  const place = lastPlace(page);
  if (isLast || !place) return { epoch, at: upto };
  return { epoch, at: from, reading: { upto, place } };
}

export type Feed = ReturnType<typeof createFeed>;

/** Each page counts what is left of its read: from here on that takes longer than every stream's own read. */
const MAX_BACKLOG = 20_000;

const NOT_YET = "the database has not been read yet";

/**
 * Reads what is new and hands it to the hub, in order, each row once.
 *
 * States: *starting*, until a first read has given a position; then *idle*, *busy* or *leaving*, which say when it reads and
 * whether it suspends wake-ups: see `createPace`. One read is in flight at a time; wake-ups that come during it are one
 * more read. A read that fails leaves the position where it was, and is tried again at the next wake-up or
 * sweep, so no row depends on any single wake-up.
 */
export function createFeed(options: FeedOptions) {
  const { adoptRestoredRows, now, read, publish, readAgain, onRead, explain, sweepMs, log } =
    options;
  const pace = createPace(options, performance.now());
  /** Where the next read begins; within a read that was left unfinished, its `reading` says where. */
  let cursor: Cursor | undefined;
  let mustAdopt = true;
  let problem: string | undefined = NOT_YET;
  let running: Promise<void> | undefined;
  /** A wake-up came during the read that is running. */
  let isWoken = false;
  /** A wake-up waits for its turn. */
  let isDue = false;
  let isSuspending = false;
  let isClosed = false;
  let beganAt = performance.now();
  let lastReadAt = beganAt;
  let timer: NodeJS.Timeout | undefined;

  async function readPages() {
    if (mustAdopt) {
      await adoptRestoredRows();
      mustAdopt = false;
    }
    cursor ??= await now();
    for (let asked = ask(cursor); ; ) {
      const { from, at: askedAt } = asked;
      const page = await asked.page;
      const { epoch, upto } = page;
      cursor = endOf(page);
      onRead(page);
      pace.recordRead(page, askedAt);
      lastReadAt = performance.now();
      if (pace.isWorthSuspending(lastReadAt)) suspendWakeups();
      if (page.isForeign) {
        log.warn({ epoch }, "the database has another history; every stream is reset");
        mustAdopt = true;
        readAgain();
        return;
      }
      if (page.isExpired || page.remaining > MAX_BACKLOG) {
        log.warn(
          { rows: page.remaining, isExpired: page.isExpired },
          "the feed lacks rows, or is far behind; every stream reads for itself",
        );
        cursor = { epoch, at: upto };
        publish({ ...page, marked: [], removed: [], changes: [] }, askedAt); // who was revoked
        readAgain();
        return;
      }
      // The end of an unfinished read is not the present: read on from there.
      const isDone = isClosed || (page.isLast && !from.reading);
      if (!isDone) {
        // The database looks for the next page while this one is published.
        asked = ask(cursor);
        await new Promise(setImmediate);
      }
      publish(page, askedAt);
      if (isDone) return;
    }
  }

  function ask(from: Cursor) {
    const at = performance.now();
    const page = read(from);
    page.catch(() => {}); // whoever waits for it is told, a little later
    return { from, page, at };
  }

  function suspendWakeups() {
    if (isSuspending || isClosed) return;
    isSuspending = true;
    pace.expectUnannounced(performance.now());
    options
      .suspendWakeups(LEASE_MS)
      .catch((err) => {
        if (!isClosed) log.warn({ err }, "cannot suspend wake-ups");
      })
      .finally(() => {
        isSuspending = false;
      });
  }

  async function run() {
    beganAt = performance.now();
    try {
      await readPages();
      if (problem && problem !== NOT_YET) log.info("reading again");
      problem = undefined;
    } catch (err) {
      fail(err);
    }
  }

  function fail(err: unknown) {
    const found = explain(err);
    if (found !== problem && !isClosed)
      log.warn({ err, problem: found }, "cannot read; trying again at every sweep");
    problem = found;
  }

  function begin() {
    isDue = false;
    isWoken = false;
    running = run().finally(() => {
      running = undefined;
      if (isWoken && !problem) wake();
      if (!running && !isDue) poll();
    });
  }

  function beginIn(ms: number) {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(begin, ms);
  }

  /** Reads when it is time to, unless something wakes it before. */
  function poll() {
    const now = performance.now();
    beginIn(problem ? sweepMs : Math.max(0, beganAt + pace.pollMs(now) - now));
  }

  function wake() {
    isWoken = true;
    const now = performance.now();
    // Busy, the next read is a tick away at the most.
    if (running || isDue || isClosed || pace.isBusy(now)) return;
    isDue = true;
    const ms = pace.scheduleRead(now);
    if (ms > 0) return beginIn(ms);
    clearTimeout(timer);
    begin();
  }

  return {
    /** Reads for the first time; resolves when that was tried, whatever came of it. */
    async start(): Promise<void> {
      begin();
      await running;
    },

    /** There may be something to read. */
    wake,

    /** The listener has just (re)connected: whatever it did not hear is read now. */
    catchUp() {
      mustAdopt = true;
      pace.expectUnannounced(performance.now());
      wake();
    },

    /** Wake-ups are kept suspended by somebody else, or no longer. */
    setHeld(isHeld: boolean) {
      pace.setHeld(isHeld, performance.now());
      if (!running && !isDue && !isClosed) poll();
    },

    /** Whether wake-ups are suspended for now, and it reads every tick. */
    isBusy: () => pace.isBusy(performance.now()),

    /** Where a stream that wants nothing of the past begins; undefined until the first read. */
    position: (): Cursor | undefined =>
      cursor && { epoch: cursor.epoch, at: cursor.reading?.upto ?? cursor.at },

    /** Why the last read failed, in a sentence for the operator; undefined if it did not. */
    problem: () => problem,

    /** Seconds since the last read that succeeded, at first since the start; what sweeps keep small. */
    readAgeSeconds: () => (performance.now() - lastReadAt) / 1000,

    /** Reads no more. A read that waits for its answer ends with the connection. */
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
