import type { Changes } from "../db/changes.ts";
import type { Cursor } from "../db/cursor.ts";
import type { Logger } from "../logger.ts";

export interface FeedOptions {
  /** Turns rows of another history into old ones; see `bellwire.adopt_restored_rows()`. */
  adoptRestoredRows: () => Promise<void>;
  now: () => Promise<Cursor>;
  read: (from: Cursor, pageSize: number) => Promise<Changes>;
  publish: (changes: Changes) => void;
  /** Every stream reads for itself, from where it is. */
  readAgain: () => void;
  onRead: (changes: Changes) => void;
  /** Why a read failed, in a sentence for the operator. */
  explain: (err: unknown) => string;
  sweepMs: number;
  /** Under a flood of wake-ups there is one read a tick. */
  tickMs: number;
  log: Logger;
}

export type Feed = ReturnType<typeof createFeed>;

const PAGE_SIZE = 1000;

/** Each page counts what is left of its read: from here on that takes longer than every stream's own read. */
const MAX_BACKLOG = 20_000;

/** So many reads may follow one another at once after a quiet time, so that a lone commit never waits for a tick. */
const READS_AT_ONCE = 10;

const NOT_YET = "the database has not been read yet";

/**
 * Reads what is new and hands it to the hub, in order, each row once.
 *
 * States: *starting*, until a first read has given a position; then *idle*, which reads when woken, when the
 * listener has (re)connected, and at the latest `sweepMs` after the last read. One read is in flight at a
 * time; wake-ups that come during it are one more read, and when they do not stop there is one read every
 * `tickMs`. A read that fails leaves the position where it was, and is tried again at the next wake-up or
 * sweep, so no row depends on any single wake-up.
 */
export function createFeed(options: FeedOptions) {
  const {
    adoptRestoredRows,
    now,
    read,
    publish,
    readAgain,
    onRead,
    explain,
    sweepMs,
    tickMs,
    log,
  } = options;
  /** Where the next read begins; within a read that was left unfinished, its `reading` says where. */
  let cursor: Cursor | undefined;
  let mustAdopt = true;
  let isWoken = false;
  let running: Promise<void> | undefined;
  let problem: string | undefined = NOT_YET;
  let isClosed = false;
  let lastReadAt = performance.now();
  let sweep: NodeJS.Timeout | undefined;
  let readsLeft = READS_AT_ONCE;
  let countedAt = performance.now();

  async function readPages() {
    if (mustAdopt) {
      await adoptRestoredRows();
      mustAdopt = false;
    }
    cursor ??= await now();
    for (;;) {
      const from = cursor;
      const page = await read(from, PAGE_SIZE);
      const { epoch, upto } = page;
      const last = page.rows.at(-1);
      // Before anything is published: a stream that opens meanwhile starts from here.
      cursor =
        page.isLast || !last
          ? { epoch, at: upto }
          : {
              epoch,
              at: page.from,
              reading: { upto, place: { changed: !last.isNew, id: last.id } },
            };
      onRead(page);
      lastReadAt = performance.now();
      if (page.isForeign) {
        log.warn({ epoch }, "the database has another history; every stream is reset");
        mustAdopt = true;
        readAgain();
        return;
      }
      if (page.remaining > MAX_BACKLOG) {
        log.warn({ rows: page.remaining }, "far behind; every stream reads for itself");
        cursor = { epoch, at: upto };
        publish({ ...page, rows: [] }); // who was revoked
        readAgain();
        return;
      }
      publish(page);
      // The end of an unfinished read is not the present: read on from there.
      if (isClosed || (page.isLast && !from.reading)) return;
    }
  }

  /** Resolves when the next read may begin: at once, until the reads at once are used up. */
  async function turn() {
    const now = performance.now();
    readsLeft = Math.min(READS_AT_ONCE, readsLeft + (now - countedAt) / tickMs);
    countedAt = now;
    readsLeft -= 1;
    if (readsLeft < 0) await new Promise((resolve) => setTimeout(resolve, -readsLeft * tickMs));
  }

  async function run() {
    while (isWoken && !isClosed) {
      await turn();
      if (isClosed) return;
      isWoken = false;
      try {
        await readPages();
        if (problem && problem !== NOT_YET) log.info("reading again");
        problem = undefined;
      } catch (err) {
        fail(err);
        break;
      }
    }
  }

  function fail(err: unknown) {
    const found = explain(err);
    if (found !== problem && !isClosed)
      log.warn({ err, problem: found }, "cannot read; trying again at every sweep");
    problem = found;
  }

  function wake() {
    isWoken = true;
    if (running || isClosed) return;
    clearTimeout(sweep);
    running = run().finally(() => {
      running = undefined;
      if (!isClosed) sweep = setTimeout(wake, sweepMs);
    });
  }

  return {
    /** Reads for the first time; resolves when that was tried, whatever came of it. */
    async start(): Promise<void> {
      wake();
      await running;
    },

    /** There may be something to read. */
    wake,

    /** The listener has just (re)connected: whatever it did not hear is read now. */
    catchUp() {
      mustAdopt = true;
      wake();
    },

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
      clearTimeout(sweep);
    },
  };
}
