import type { Pool } from "pg";
import type { Cursor } from "./cursor.ts";
import type { Counts, Notification } from "./notification.ts";
import { formatSnapshot, parseSnapshot, type Snapshot, truncate } from "./snapshot.ts";

/** A notification that a snapshot could not see, or not as it is now. */
export interface Change extends Notification {
  /** It was inserted since; otherwise only its state changed. */
  readonly isNew: boolean;
  readonly createdXid: bigint;
  readonly changedXid: bigint;
}

/** One page of a read: what `from` could not see and `upto` can, in the order of `Place`. */
export interface Changes {
  readonly epoch: string;
  readonly from: Snapshot;
  readonly upto: Snapshot;
  readonly rows: readonly Change[];
  /** Nothing of this read is left after this page. */
  readonly isLast: boolean;
  /** How many rows the read had left, this page's included. */
  readonly remaining: number;
  /** Recipients revoked since `from`; in a recipient's own read itself at the most. */
  readonly revoked: readonly string[];
  /** Of the recipients some of whose rows here were changed, at `moment`; in a recipient's own read, of it. */
  readonly counts: ReadonlyMap<string, Counts>;
  /** When this page was read. */
  readonly moment: Snapshot;
  /** For how long no wake-ups will be sent from then on: 0 when they are, Infinity when they are suspended for good. */
  readonly suspendedMs: number;
  /**
   * `from` is of another history: a restore or a failover lies between. Then there are no rows, and `upto` is where
   * to go on.
   */
  readonly isForeign: boolean;
  /** Notifications that `from` had not seen have been pruned since: the read may lack some. */
  readonly isExpired: boolean;
}

export type RecipientChanges = Changes & Counts;

/** One reader of several that are answered together. */
export interface Reader {
  readonly from: Cursor;
  readonly recipientId: string;
}

interface Row {
  reader: string;
  epoch: string;
  snapshot: string;
  newest: string;
  is_expired: boolean;
  remaining: string;
  revoked: string[];
  suspended_ms: number;
  unread: string | null;
  unseen: string | null;
  is_new: boolean | null;
  id: string | null;
  recipient_id: string | null;
  type: string;
  actor_id: string | null;
  title: string | null;
  body: string | null;
  link: string | null;
  data: unknown;
  created_at: Date;
  seen_at: Date | null;
  read_at: Date | null;
  archived_at: Date | null;
  created_xid: string;
  changed_xid: string;
}

/** What a reader may have of one page, and when it must fetch its list again. */
export interface PageLimits {
  pageSize: number;
  /** More rows than this are not looked for; `remaining` then says that there are more. */
  most: number | null;
}

/** Rows in one page of the feed's. */
const PAGE_SIZE = 2000;

/**
 * Reads `bellwire.changes_since()`: the feed's and the replays' query. Throws what `pg` throws, among it
 * SQLSTATE 55000 on a standby, whose snapshots cannot be trusted.
 */
export function createChangesReader(pool: Pool) {
  /** A page for each, in their order. */
  async function read(
    readers: readonly (Reader | { from: Cursor; recipientId: null })[],
    { pageSize, most }: PageLimits,
  ): Promise<Changes[]> {
    const readings = readers.map(({ from }) => from.reading);
    const { rows } = await pool.query<Row>({
      text: "select * from bellwire.changes_since($1, $2, $3, $4, $5, $6, $7)",
      values: [
        readers.map(({ from }) => formatSnapshot(from.at)),
        readers.map(({ recipientId }) => recipientId),
        readings.map((reading) => reading && formatSnapshot(reading.upto)),
        readings.map((reading) => reading?.place.changed),
        readings.map((reading) => reading?.place.id),
        pageSize,
        most,
      ],
    });
    // Only where one of them needs it, and then once for all.
    let start: Promise<Cursor> | undefined;
    const byReader = groupByReader(rows, readers.length);
    return await Promise.all(
      readers.map(async ({ from }, i) => {
        const own = byReader[i] ?? [];
        if (!isForeign(own, from)) return toChanges(own, from);
        start ??= readNow();
        return toForeign(own, from, await start);
      }),
    );
  }

  async function readNow(): Promise<Cursor> {
    const { rows } = await pool.query<{ epoch: string; snapshot: string; newest: string }>(
      `select bellwire.epoch(),
                pg_current_snapshot() as snapshot,
                greatest(
                  (select greatest(created_xid, changed_xid)
                     from bellwire.notifications
                    order by changed_xid desc
                    limit 1),
                  -- Changed last by a transaction that began before the one that inserted it.
                  (select created_xid
                     from bellwire.notifications
                    where created_xid > changed_xid
                    order by created_xid desc
                    limit 1),
                  (select revoked_xid
                     from bellwire.revocations
                    order by revoked_xid desc
                    limit 1),
                  (select pruned_xid from bellwire.retention),
                  '0'
                ) as newest`,
    );
    const [row] = rows;
    if (!row) throw new Error("a select without from returned no row");
    const end = BigInt(row.newest) + 1n;
    return { epoch: row.epoch, at: truncate(parseSnapshot(row.snapshot), end) };
  }

  return {
    /** Turns rows that a restore has brought from another history into old ones. */
    async adoptRestoredRows(): Promise<void> {
      await pool.query("select bellwire.adopt_restored_rows()");
    },

    /** The position of a reader who wants nothing of what is there. */
    now: readNow,

    /** The next page of what every recipient was sent or changed since the cursor. */
    async readAll(from: Cursor): Promise<Changes> {
      const [page] = await read([{ from, recipientId: null }], { pageSize: PAGE_SIZE, most: null });
      return page as Changes;
    },

    /** The next page for each, of what its recipient was sent or changed since its cursor, in one query. */
    async readRecipients(
      readers: readonly Reader[],
      limits: PageLimits,
    ): Promise<RecipientChanges[]> {
      const pages = await read(readers, limits);
      return pages.map((page, i) => ({
        ...page,
        ...(page.counts.get(readers[i]?.recipientId ?? "") ?? { unread: 0, unseen: 0 }),
      }));
    },
  };
}

function groupByReader(rows: readonly Row[], readers: number): Row[][] {
  const groups = Array.from({ length: readers }, (): Row[] => []);
  for (const row of rows) groups[Number(row.reader) - 1]?.push(row);
  return groups;
}

function headOf([head]: readonly Row[]): Row {
  if (!head) throw new Error("bellwire.changes_since() returned no row for a reader");
  return head;
}

/** Whether the database has a history that the cursor's transactions are not of. */
function isForeign(rows: readonly Row[], { epoch, at, reading }: Cursor): boolean {
  const head = headOf(rows);
  return head.epoch !== epoch || parseSnapshot(head.snapshot).xmax < (reading?.upto ?? at).xmax;
}

/** `start` is not the read's moment, which ends at the server's newest transaction (see `truncate`). */
const toForeign = (rows: readonly Row[], from: Cursor, start: Cursor): Changes => ({
  ...toChanges(rows, from),
  epoch: start.epoch,
  upto: start.at,
  rows: [],
  isLast: true,
  remaining: 0,
  isForeign: true,
});

function toChanges(rows: readonly Row[], { at, reading }: Cursor): Changes {
  const head = headOf(rows);
  const moment = parseSnapshot(head.snapshot);
  const remaining = Number(head.remaining);
  const changes = head.id === null ? [] : rows.map(toChange);
  return {
    epoch: head.epoch,
    from: at,
    upto: reading?.upto ?? reached(at, moment, head.newest),
    moment,
    rows: changes,
    isLast: remaining <= changes.length,
    remaining,
    revoked: head.revoked,
    counts: countsOf(rows),
    suspendedMs: head.suspended_ms,
    isForeign: false,
    isExpired: head.is_expired,
  };
}

/** Where a read from `from` ends: at its snapshot, cut to the newest row it found (see `truncate`). */
export function reached(from: Snapshot, now: Snapshot, newest: string): Snapshot {
  const end = BigInt(newest) + 1n;
  return truncate(now, end > from.xmax ? end : from.xmax);
}

function countsOf(rows: readonly Row[]): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  for (const { recipient_id, unread, unseen } of rows)
    if (recipient_id !== null && unread !== null)
      counts.set(recipient_id, { unread: Number(unread), unseen: Number(unseen) });
  return counts;
}

const toChange = (row: Row): Change => ({
  id: BigInt(row.id ?? 0),
  recipientId: row.recipient_id ?? "",
  type: row.type,
  actorId: row.actor_id,
  title: row.title,
  body: row.body,
  link: row.link,
  data: row.data,
  createdAt: row.created_at,
  seenAt: row.seen_at,
  readAt: row.read_at,
  archivedAt: row.archived_at,
  isNew: row.is_new === true,
  createdXid: BigInt(row.created_xid),
  changedXid: BigInt(row.changed_xid),
});
