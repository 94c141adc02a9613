import type { Changes } from "../db/changes.ts";
import type { Cursor } from "../db/cursor.ts";
import type { Logger } from "../logger.ts";

export interface FeedOptions {
  /** Turns rows of another history into old ones; see `bellwire.adopt_restored_rows()`. */
  adoptRestoredRows: () => Promise<void>;
  now: () => Promise<Cursor>;
  read: (from: Cursor, pageSize: number) => Promise<Changes>;
  publish: (changes: Changes) => void;
  /** The history was replaced. */
  reset: () => void;
  onRead: (changes: Changes) => void;
  sweepMs: number;
  log: Logger;
}

export type Feed = ReturnType<typeof createFeed>;

const PAGE_SIZE = 1000;

/**
 * Reads what is new and hands it to the hub, in order, each row once.
 *
 * States: *starting*, until a first read has given a position; then *idle*, which reads when woken, when the
 * listener has (re)connected, and at the latest `sweepMs` after the last read. One read is in flight at a
 * time; wake-ups that come during it are one more read. A read that fails leaves the position where it
 * was, and is tried again at the next wake-up or sweep, so no row depends on any single wake-up.
 */
export function createFeed(options: FeedOptions) {
  const { adoptRestoredRows, now, read, publish, reset, onRead, sweepMs, log } = options;
  /** Where the next read begins; within a read that was left unfinished, its `reading` says where. */
  let cursor: Cursor | undefined;
  let mustAdopt = true;
  let isWoken = false;
  let running: Promise<void> | undefined;
  let isFailing = false;
  let isClosed = false;
  let lastReadAt = 0;
  let sweep: NodeJS.Timeout | undefined;

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
      if (page.isForeign) {
        log.warn({ epoch }, "the database has another history; every stream is reset");
        mustAdopt = true;
        reset();
        return;
      }
      publish(page);
      // The end of an unfinished read is not the present: read on from there.
      if (isClosed || (page.isLast && !from.reading)) return;
    }
  }

  async function run() {
    while (isWoken && !isClosed) {
      isWoken = false;
      try {
        await readPages();
        lastReadAt = Date.now();
        if (isFailing) log.info("reading again");
        isFailing = false;
      } catch (err) {
        if (!isFailing) log.warn({ err }, "cannot read; trying again at every sweep");
        isFailing = true;
        break;
      }
    }
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

    /** Whether the last read succeeded. */
    isReading: () => cursor !== undefined && !isFailing,

    /** Seconds since the last read that succeeded; what sweeps keep small. */
    readAgeSeconds: () => (Date.now() - lastReadAt) / 1000,

    async close(): Promise<void> {
      isClosed = true;
      clearTimeout(sweep);
      await running;
    },
  };
}
