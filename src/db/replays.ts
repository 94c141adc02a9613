import type { Pool } from "pg";
import type { RecipientChanges } from "./changes.ts";
import { createChangesReader, type Reader } from "./changes-reader.ts";
import type { Cursor } from "./cursor.ts";
import { isOfItsArguments } from "./read-problem.ts";
import { together } from "./together.ts";

export interface ReplaysOptions {
  pool: Pool;
  /** So many queries run at a time. */
  atOnce: number;
  /** A reader who has missed more new rows has its first such page say so in `fresh`, and is not read to the end. */
  replayLimit: number;
  maxEventBytes: number;
  /** One query has given so many readers a page each. */
  onRead: (readers: number) => void;
}

/** Small enough to be sent before the next page is fetched. */
const PAGE_SIZE = 200;

/** Each may have 64 KB of texts then, where one alone may have a megabyte: see `bellwire.changes_for()`. */
const READERS_PER_QUERY = 500;

/**
 * The next page of what one recipient was sent or changed since the cursor. Whoever comes back after a restart comes with
 * everybody else: they share queries, and none waits for one of them that has missed a great deal, nor fails for one whose
 * position the database refuses. Throws what `pg` throws.
 */
export function createReplays({
  pool,
  atOnce,
  replayLimit,
  maxEventBytes,
  onRead,
}: ReplaysOptions) {
  const { readRecipients, now } = createChangesReader(pool, maxEventBytes);
  const read = together({
    call: async (readers: readonly Reader[]) => {
      const pages = await readRecipients(readers, { pageSize: PAGE_SIZE, most: replayLimit });
      onRead(readers.length);
      return pages;
    },
    isOnesFault: isOfItsArguments,
    atOnce,
    most: READERS_PER_QUERY,
  });
  return async (from: Cursor, recipientId: string): Promise<RecipientChanges> => {
    try {
      return await read({ from, recipientId });
    } catch (err) {
      if (!isOfItsArguments(err)) throw err;
      // Alone it was refused as well. If it is not the position, the next read is, too.
      const start = await now();
      const page = await read({ from: start, recipientId });
      const nothing = { removed: [], rows: [], isLast: true, remaining: 0, fresh: 0 };
      return { ...page, ...nothing, upto: start.at, isRefused: true };
    }
  };
}
