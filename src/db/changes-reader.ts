import type { Pool } from "pg";
import type { MeasuredPage, Page } from "../changes/changes.ts";
import { type Cursor, START, stageNumber } from "../changes/cursor.ts";
import { cutAtOf } from "../changes/notification.ts";
import { FIRST_XID, formatSnapshot, parseSnapshot, truncate } from "../changes/snapshot.ts";
import { type Head, isForeign, type PageRow, toForeignPage, toPage } from "./page-rows.ts";

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
           $4, $5, $6, $7, $8, $9
         )`;

/**
 * Reads `bellwire.changes_since()` for the feed, and `changes_for()` for the replays. Throws what `pg` throws; on a standby, whose
 * snapshots cannot be trusted, that is SQLSTATE 55000.
 *
 * `knownEpoch` is the history that the feed reads. If a recipient's position is of another history, and the database still has the
 * feed's, then only the position is old. So no new history is begun.
 */
export function createChangesReader(
  pool: Pool,
  maxEventBytes: number,
  knownEpoch: () => string | undefined = () => undefined,
) {
  const cutAt = cutAtOf(maxEventBytes);

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
    /** Marks rows that a restore brought from another history as old. */
    async adoptRestoredRows(): Promise<void> {
      await pool.query("select bellwire.adopt_restored_rows()");
    },

    /**
     * The position of a reader that wants none of the existing rows. In an empty database a restore may be running, and the reader
     * wants none of the restored rows either.
     */
    async now(): Promise<Cursor> {
      const start = await readNow();
      return start.at.xmax > FIRST_XID ? start : await beginHistory();
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

    /** The next page for each request, of its recipient's changes since its cursor. One query reads them all. */
    async readRecipients(
      readers: readonly PageRequest[],
      { pageSize, maxNew }: PageLimits,
    ): Promise<MeasuredPage[]> {
      const readings = readers.map(({ from }) => from.reading);
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
        ],
      });
      // At most once for all requests, and only if one needs it.
      let start: Promise<Cursor> | undefined;
      const answers = groupByReader(rows, readers.length);
      return await Promise.all(
        readers.map(async ({ from }, i) => {
          const { head, page = [] } = answers[i] ?? {};
          if (!head) throw new Error("bellwire.changes_for() returned no head for a reader");
          const own = {
            unread: Number(head.unread),
            unseen: Number(head.unseen),
            bytes: Number(head.bytes),
            remainingNew: Number(head.fresh),
          };
          if (!isForeign(head, from)) return { ...toPage(head, page, from), ...own };
          start ??= head.epoch === knownEpoch() ? readNow() : beginHistory();
          return { ...toForeignPage(head, from, await start), ...own };
        }),
      );
    },
  };
}

function groupByReader(rows: readonly ({ reader: string } & (Head | PageRow))[], readers: number) {
  const answers = Array.from({ length: readers }, (): { head?: Head; page: PageRow[] } => ({
    page: [],
  }));
  for (const row of rows) {
    const answer = answers[Number(row.reader) - 1];
    if (!answer) continue;
    if (row.id === null) answer.head = row;
    else answer.page.push(row);
  }
  return answers;
}
