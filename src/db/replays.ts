import type { Pool } from "pg";
import type { MeasuredPage, RecipientPage } from "../changes/changes.ts";
import { type Cursor, placeOfLast } from "../changes/cursor.ts";
import { batch } from "./batch.ts";
import type { BytesInFlight, Share } from "./bytes-in-flight.ts";
import { createChangesReader, type Reader } from "./changes-reader.ts";
import { isArgumentError } from "./read-errors.ts";

export interface ReplaysOptions {
  pool: Pool;
  /** So many queries run at a time. */
  maxConcurrent: number;
  /** A reader who has missed more new rows has its first such page say so in `fresh`, and is not read to the end. */
  replayLimit: number;
  maxEventBytes: number;
  /** The history that the feed reads; undefined until its first read. */
  knownEpoch: () => string | undefined;
  /** For the pages that are being read, and those that their readers have not let go of. */
  room: BytesInFlight;
  /** One query has given so many readers a page each. */
  onRead: (readers: number) => void;
}

/** Small enough to be sent before the next page is fetched. */
const PAGE_SIZE = 200;

const READERS_PER_QUERY = 500;

/** What a page may take where many come; few share as much as PAGES_BYTES, if there is room. */
const PAGE_BYTES = 65_536;
const PAGES_BYTES = 1_048_576;

/** A reader, and what it may hold. */
interface Visitor extends Omit<Reader, "pageBytes"> {
  share: Share;
}

export type Replays = ReturnType<typeof createReplays>;

/**
 * The next page of what one recipient was sent or changed since the cursor. Whoever comes back after a restart comes with
 * everybody else: they share queries, and none waits for one of them that has missed a great deal, nor fails for one whose
 * position the database refuses. Throws what `pg` throws.
 */
export function createReplays({
  pool,
  maxConcurrent,
  replayLimit,
  maxEventBytes,
  knownEpoch,
  room,
  onRead,
}: ReplaysOptions) {
  const { readRecipients, now } = createChangesReader(pool, maxEventBytes, knownEpoch);
  const read = batch({
    call: async (visitors: readonly Visitor[]) => {
      const even = Math.floor(PAGES_BYTES / visitors.length);
      const readers = visitors.map(({ share, ...reader }) => ({
        ...reader,
        pageBytes: room.grow(share, even),
      }));
      const pages = await readRecipients(readers, { pageSize: PAGE_SIZE, most: replayLimit });
      onRead(readers.length);
      return pages;
    },
    isArgumentError,
    maxConcurrent,
    maxItems: READERS_PER_QUERY,
  });

  async function readPage(visitor: Visitor): Promise<MeasuredPage> {
    try {
      return await read(visitor);
    } catch (err) {
      if (!isArgumentError(err)) throw err;
      // Alone it was refused as well. If it is not the position, the next read is, too.
      const start = await now();
      const page = await read({ ...visitor, from: start });
      const nothing = { marked: [], removed: [], rows: [], isLast: true, remaining: 0, fresh: 0 };
      return { ...page, ...nothing, upto: start.at, present: start.at, isRefused: true };
    }
  }

  /** Takes of the room what the page takes, for the caller to give back. Rejects where the share leaves. */
  return async (from: Cursor, share: Share): Promise<RecipientPage> => {
    const { recipientId } = share;
    for (let bytes = PAGE_BYTES; ; ) {
      if (!(await room.take(share, bytes))) throw new Error("The reader has left");
      const page = await readPage({ from, recipientId, share }).catch((err: unknown) => {
        room.keep(share, 0);
        throw err;
      });
      const isEmpty = !placeOfLast(page);
      const isTooSmall = isEmpty && page.bytes > share.bytes && page.fresh <= replayLimit;
      // Where its first row alone is larger it waits for that much, and holds nothing meanwhile.
      room.keep(share, isEmpty ? 0 : page.bytes);
      if (!isTooSmall) return page;
      bytes = page.bytes;
    }
  };
}
