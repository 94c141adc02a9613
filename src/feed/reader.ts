import type { Page } from "../changes/changes.ts";
import { type Cursor, lastPlace } from "../changes/cursor.ts";
import type { Logger } from "../logger.ts";

export interface ReaderOptions {
  /** Marks rows that a restore brought from another history as old; see `bellwire.adopt_restored_rows()`. */
  adoptRestoredRows: () => Promise<void>;
  now: () => Promise<Cursor>;
  read: (from: Cursor) => Promise<Page>;
  /** `askedAt` is when the page was asked for, in milliseconds of `performance.now()`. */
  publish: (page: Page, askedAt: number) => void;
  /** Has every stream read for itself, from its own position. */
  readAgain: () => void;
  /** Called for each page, before it is published. */
  onPage: (page: Page, askedAt: number) => void;
  log: Logger;
}

/** Why the feed reads; only the debug log has it. */
export type ReadReason = "start" | "wake-up" | "catch-up" | "tick" | "sweep" | "retry";

/** Each page counts the rows that its read has left. With more than this left, that takes longer than a read by every stream. */
const MAX_BACKLOG = 20_000;

/**
 * Reads page after page up to the present, and hands each page to the hub, each row once. If a read fails, the position stays
 * after the last page that came, and the next read continues there.
 */
export function createReader(options: ReaderOptions) {
  const { adoptRestoredRows, now, read, publish, readAgain, onPage, log } = options;
  /** Where the next read begins. After an unfinished read its `reading` says how far that came. */
  let cursor: Cursor | undefined;
  let mustAdopt = true;
  let isClosed = false;

  async function adopt(): Promise<void> {
    // Cleared before the call: `adoptAgain` may set it during the call.
    mustAdopt = false;
    try {
      await adoptRestoredRows();
    } catch (err) {
      mustAdopt = true;
      throw err;
    }
  }

  async function readToPresent(why: ReadReason): Promise<void> {
    if (mustAdopt) await adopt();
    cursor ??= await now();
    let reason: ReadReason | "unfinished read" = why;
    for (let asked = ask(cursor); ; reason = "unfinished read") {
      const page = await asked.page;
      const { from, at: askedAt } = asked;
      cursor = endOf(page);
      logRead(reason, page, askedAt);
      onPage(page, askedAt);
      if (page.isForeign) return resetAll(page);
      if (page.isExpired || page.remaining > MAX_BACKLOG) return skipToPresent(page, askedAt);
      // A page that finishes an earlier read ends where that read ended, which is not the present: read on from there.
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
    page.catch(() => {}); // it is awaited a little later, and must not count as unhandled before that
    return { from, page, at };
  }

  function resetAll({ epoch }: Page): void {
    log.warn({ epoch }, "the database has another history; every stream is reset");
    mustAdopt = true;
    readAgain();
  }

  function skipToPresent(page: Page, askedAt: number): void {
    log.warn(
      { rows: page.remaining, isExpired: page.isExpired },
      "the feed lacks rows, or is far behind; every stream reads for itself",
    );
    cursor = { epoch: page.epoch, at: page.upto };
    // Only the revocations.
    publish({ ...page, marked: [], removed: [], changes: [] }, askedAt);
    readAgain();
  }

  function logRead(reason: string, { marked, removed, changes, remaining }: Page, askedAt: number) {
    const rows = marked.length + removed.length + changes.length;
    log.debug({ reason, rows, remaining, ms: performance.now() - askedAt }, "read");
  }

  return {
    readToPresent,

    /** The next read adopts restored rows first: this may be another server now. */
    adoptAgain() {
      mustAdopt = true;
    },

    /** The position of a stream that begins now; undefined until the first read. */
    position: (): Cursor | undefined =>
      cursor && { epoch: cursor.epoch, at: cursor.reading?.upto ?? cursor.at },

    /** Asks for no further page. */
    close() {
      isClosed = true;
    },
  };
}

/** The position of a reader that has this page. */
function endOf(page: Page): Cursor {
  const { epoch, from, upto, isLast } = page;
  const place = lastPlace(page);
  if (isLast || !place) return { epoch, at: upto };
  return { epoch, at: from, reading: { upto, place } };
}
