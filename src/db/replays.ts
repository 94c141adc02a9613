import type { MeasuredPage, RecipientPage } from "../changes/changes.ts";
import { type Cursor, lastPlace } from "../changes/cursor.ts";
import { batch } from "./batch.ts";
import type { BytesInFlight, Reservation } from "./bytes-in-flight.ts";
import {
  createRecipientsReader,
  type PageRequest,
  type RecipientsReaderOptions,
} from "./changes-reader.ts";
import { isArgumentError } from "./read-errors.ts";

export interface ReplaysOptions extends RecipientsReaderOptions {
  /** Maximum concurrent queries. */
  maxConcurrent: number;
  /** New rows beyond this are not read. Such a reader's first page says so in `remainingNew`. */
  replayLimit: number;
  /** Limits the pages that are being read, and those that clients have not taken yet. */
  bytesInFlight: BytesInFlight;
  /** Called after each query, with the number of readers that it read a page for. */
  onRead: (readers: number) => void;
}

/** Small enough to be sent before the next page is fetched. */
const PAGE_SIZE = 200;

const READERS_PER_QUERY = 500;

/** The size of a page when many readers share a query. A few readers share PAGES_BYTES instead, if that much is free. */
const PAGE_BYTES = 65_536;
const PAGES_BYTES = 1_048_576;

interface ReplayRequest extends Omit<PageRequest, "pageBytes"> {
  reservation: Reservation;
}

export type Replays = ReturnType<typeof createReplays>;

/**
 * Reads the next page of one recipient's changes since a cursor. After a restart all clients reconnect at once, so their reads
 * share queries. No reader waits for another one that has missed many rows. No reader fails because the database refuses the position
 * of another one. Throws what `pg` throws.
 */
export function createReplays({
  maxConcurrent,
  replayLimit,
  bytesInFlight,
  onRead,
  ...options
}: ReplaysOptions) {
  const { readRecipients, now } = createRecipientsReader(options);
  const readInBatch = batch({
    call: async (requests: readonly ReplayRequest[]) => {
      const evenBytes = Math.floor(PAGES_BYTES / requests.length);
      const sized = requests.map(({ reservation, ...request }) => ({
        ...request,
        pageBytes: bytesInFlight.grow(reservation, evenBytes),
      }));
      const pages = await readRecipients(sized, { pageSize: PAGE_SIZE, maxNew: replayLimit });
      onRead(sized.length);
      return pages;
    },
    isArgumentError,
    maxConcurrent,
    maxItems: READERS_PER_QUERY,
  });

  async function readPage(request: ReplayRequest): Promise<MeasuredPage> {
    try {
      return await readInBatch(request);
    } catch (err) {
      if (!isArgumentError(err)) throw err;
      // The batch has tried this request alone, and the database refused it. If the position was not the cause, the next read fails
      // as well.
      const start = await now();
      const page = await readInBatch({ ...request, from: start });
      const nothing = { marked: [], removed: [], changes: [], isLast: true };
      const end = { upto: page.present, remaining: 0, remainingNew: 0 };
      return { ...page, ...nothing, ...end, isRefused: true };
    }
  }

  /** The page's bytes stay reserved; the caller gives them back. Rejects when the reservation is closed. */
  return async (from: Cursor, reservation: Reservation): Promise<RecipientPage> => {
    const { recipientId } = reservation;
    for (let bytes = PAGE_BYTES; ; ) {
      if (!(await bytesInFlight.reserve(reservation, bytes)))
        throw new Error("The reader has left");
      const page = await readPage({ from, recipientId, reservation }).catch((err: unknown) => {
        bytesInFlight.resize(reservation, 0);
        throw err;
      });
      const isEmpty = !lastPlace(page);
      const isTooSmall =
        isEmpty && page.bytes > reservation.bytes && page.remainingNew <= replayLimit;
      // The first row alone is larger than the reservation: ask for its size, and hold nothing while waiting for that.
      bytesInFlight.resize(reservation, isEmpty ? 0 : page.bytes);
      if (!isTooSmall) return page;
      bytes = page.bytes;
    }
  };
}
