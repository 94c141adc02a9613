import type { Pool } from "pg";
import type { MeasuredPage, Page } from "../changes/changes.ts";
import { type Cursor, START, stageNumber } from "../changes/cursor.ts";
import { cutAtOf } from "../changes/notification.ts";
import { FIRST_XID, formatSnapshot, parseSnapshot, truncate } from "../changes/snapshot.ts";
import type { KnownCounts } from "./known-counts.ts";
import { type Head, isForeign, type PageRow, toForeignPage, toPage } from "./page-rows.ts";

export interface RecipientsReaderOptions {
  pool: Pool;
  maxEventBytes: number;
  /** The history that the feed reads; undefined until its first read. */
  knownEpoch: () => string | undefined;
  knownCounts: KnownCounts;
}

/** One recipient's read, of several that one query answers. */
export interface PageRequest {
  readonly from: Cursor;
  readonly recipientId: string;
  /** Maximum size of the page. */
  readonly pageBytes: number;
}

export interface PageLimits {
  pageSize: number;
  /** New rows beyond this are not counted: `remainingNew` is then larger than this. */
  maxNew: number | null;
}

/** Rows per page of the feed. */
const PAGE_SIZE = 2000;

/** `nullif`, because with `array_nulls = off` PostgreSQL reads a null in an array's text as the word "null". */
const CHANGES_FOR = `
  select *
    from bellwire.changes_for(
           $1, $2,
           array(select nullif(upto, '')::pg_snapshot from unnest($3::text[]) with ordinality as u (upto, reader) order by reader),
           $4, $5, $6, $7, $8, $9,
           array(select nullif(counted, '')::pg_snapshot from unnest($10::text[]) with ordinality as u (counted, reader) order by reader),
           $11
         )`;

/** Where a reader begins. */
function createPositions(pool: Pool) {
  async function readNow(): Promise<Cursor> {
    const { rows } = await pool.query<{ epoch: string; snapshot: string; newest: string }>(
      `select bellwire.epoch(), pg_current_snapshot() as snapshot, newest
         from bellwire.newest_change()`,
    );
    const [row] = rows;
    if (!row) throw new Error("bellwire.newest_change() returned no row");
    const end = BigInt(row.newest) + 1n;
    return { epoch: row.epoch, at: truncate(parseSnapshot(row.snapshot), end) };
  }

  /** The position from which a reader continues after it has found another history. */
  async function beginHistory(): Promise<Cursor> {
    await pool.query("select bellwire.begin_history()");
    return await readNow();
  }

  return {
    readNow,
    beginHistory,

    /**
     * The position of a reader that wants none of the existing rows. In an empty database a restore may be running, and the reader
     * wants none of the restored rows either.
     */
    async now(): Promise<Cursor> {
      const start = await readNow();
      return start.at.xmax > FIRST_XID ? start : await beginHistory();
    },
  };
}

/**
 * Reads `bellwire.changes_since()` for the feed. Throws what `pg` throws; on a standby, whose snapshots cannot be trusted, that is
 * SQLSTATE 55000.
 */
export function createChangesReader(pool: Pool, maxEventBytes: number) {
  const cutAt = cutAtOf(maxEventBytes);
  const { now, beginHistory } = createPositions(pool);

  return {
    now,

    /** Marks rows that a restore brought from another history as old. */
    async adoptRestoredRows(): Promise<void> {
      await pool.query("select bellwire.adopt_restored_rows()");
    },

    /** The next page of all recipients' changes since the cursor. */
    async readAll(from: Cursor): Promise<Page> {
      const { reading } = from;
      const { place = START } = reading ?? {};
      const { rows } = await pool.query<Head | PageRow>({
        text: "select * from bellwire.changes_since($1, $2, $3, $4, $5, $6)",
        values: [
          formatSnapshot(from.at),
          reading && formatSnapshot(reading.upto),
          stageNumber(place.stage),
          place.id,
          PAGE_SIZE,
          cutAt,
        ],
      });
      const [head, ...page] = rows as [Head?, ...PageRow[]];
      if (!head) throw new Error("bellwire.changes_since() returned no head");
      return isForeign(head, from)
        ? toForeignPage(head, from, await beginHistory())
        : toPage(head, page, from);
    },
  };
}

/**
 * Reads `bellwire.changes_for()` for the replays. Throws what `pg` throws.
 *
 * `knownEpoch` is the history that the feed reads. If a recipient's position is of another history, and the database still has the
 * feed's, then only the position is old. So no new history is begun.
 */
export function createRecipientsReader({
  pool,
  maxEventBytes,
  knownEpoch,
  knownCounts,
}: RecipientsReaderOptions) {
  const cutAt = cutAtOf(maxEventBytes);
  const { now, readNow, beginHistory } = createPositions(pool);

  return { now, readRecipients };

  /** The next page for each request, of its recipient's changes since its cursor. One query reads them all. */
  async function readRecipients(
    readers: readonly PageRequest[],
    { pageSize, maxNew }: PageLimits,
  ): Promise<MeasuredPage[]> {
    const readings = readers.map(({ from }) => from.reading);
    const known = readers.map(({ recipientId }) => knownCounts.find(recipientId));
    const { rows } = await pool.query<{ reader: string } & (Head | PageRow)>({
      text: CHANGES_FOR,
      values: [
        readers.map(({ from }) => formatSnapshot(from.at)),
        readers.map(({ recipientId }) => recipientId),
        readings.map((reading) => (reading ? formatSnapshot(reading.upto) : "")),
        readings.map((reading) => stageNumber((reading?.place ?? START).stage)),
        readings.map((reading) => (reading?.place ?? START).id),
        pageSize,
        maxNew,
        cutAt,
        readers.map(({ pageBytes }) => pageBytes),
        known.map((counts) => counts?.at ?? ""),
        knownCounts.epoch(),
      ],
    });
    const answers = groupByReader(rows, readers.length);
    const foreign = readers.filter(({ from }, i) => isForeign(headOf(answers[i]), from));
    // In one call: at most one history is begun for all of them.
    const restarted = await restart(foreign, answers[0]?.head?.epoch);
    return readers.map(({ from, recipientId }, i) => {
      const head = headOf(answers[i]);
      if (isForeign(head, from)) return restarted.shift() as MeasuredPage;
      const { unread, unseen } = knownCounts.after(recipientId, known[i], head);
      const page = toPage(head, answers[i]?.page ?? [], from);
      return {
        ...page,
        unread,
        unseen,
        bytes: Number(head.bytes),
        remainingNew: Number(head.fresh),
      };
    });
  }

  /**
   * For readers of another history: the position from which they continue, without rows. They are read once more, because a position and the counts
   * there must come from one snapshot.
   */
  async function restart(
    readers: readonly PageRequest[],
    epoch: string | undefined,
  ): Promise<MeasuredPage[]> {
    if (readers.length === 0) return [];
    const from = await (epoch === knownEpoch() ? readNow() : beginHistory());
    const requests = readers.map((reader) => ({ ...reader, from }));
    const pages = await readRecipients(requests, { pageSize: 0, maxNew: 0 });
    const nothing = { isLast: true, remaining: 0, remainingNew: 0 };
    return pages.map((page) => ({ ...page, ...nothing, isForeign: true }));
  }
}

interface Answer {
  head?: Head;
  page: PageRow[];
}

function headOf(answer: Answer | undefined): Head {
  if (!answer?.head) throw new Error("bellwire.changes_for() returned no head for a reader");
  return answer.head;
}

function groupByReader(rows: readonly ({ reader: string } & (Head | PageRow))[], readers: number) {
  const answers = Array.from({ length: readers }, (): Answer => ({ page: [] }));
  for (const row of rows) {
    const answer = answers[Number(row.reader) - 1];
    if (!answer) continue;
    if (row.id === null) answer.head = row;
    else answer.page.push(row);
  }
  return answers;
}
