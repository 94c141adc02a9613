import type { Pool } from "pg";
import type { Cursor, Place } from "./cursor.ts";
import type { Counts, Notification } from "./notification.ts";
import { formatSnapshot, parseSnapshot, type Snapshot, truncate } from "./snapshot.ts";

/** A notification that a snapshot could not see, or not as it is now. */
export interface Change extends Notification, Counts {
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
  /** Recipients revoked since `from`. */
  readonly revoked: readonly string[];
  /**
   * `from` is of another history: a restore or a failover lies between. Then there are no rows, and `upto` is where
   * to go on.
   */
  readonly isForeign: boolean;
  /** Notifications that `from` had not seen have been pruned since: the read may lack some. */
  readonly isExpired: boolean;
}

export type RecipientChanges = Changes & Counts;

interface Row {
  epoch: string;
  snapshot: string;
  newest: string;
  is_expired: boolean;
  remaining: string;
  revoked: string[];
  unread: string | null;
  unseen: string | null;
  is_new: boolean | null;
  id: string | null;
  recipient_id: string;
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

const START: Place = { changed: false, id: 0n };

/**
 * Reads `bellwire.changes_since()`: the feed's and the replays' query. Throws what `pg` throws, among it
 * SQLSTATE 55000 on a standby, whose snapshots cannot be trusted.
 */
export function createChangesReader(pool: Pool) {
  async function read(from: Cursor, recipientId: string | null, pageSize: number) {
    const { reading } = from;
    const place = reading?.place ?? START;
    const { rows } = await pool.query<Row>({
      text: "select * from bellwire.changes_since($1, $2, $3, $4, $5, $6)",
      values: [
        formatSnapshot(from.at),
        recipientId,
        reading ? formatSnapshot(reading.upto) : null,
        place.changed,
        place.id,
        pageSize,
      ],
    });
    const [head] = rows;
    if (!head) throw new Error("bellwire.changes_since() returned no row");
    const now = parseSnapshot(head.snapshot);
    const isForeign = head.epoch !== from.epoch || now.xmax < (reading?.upto ?? from.at).xmax;
    // Not `now`, which ends at the server's newest transaction (see `truncate`).
    const start = isForeign ? await readNow() : undefined;
    const changes = isForeign || head.id === null ? [] : rows.map(toChange);
    const remaining = isForeign ? 0 : Number(head.remaining);
    const page: RecipientChanges = {
      epoch: start?.epoch ?? head.epoch,
      from: from.at,
      upto: start?.at ?? reading?.upto ?? reached(from.at, now, head.newest),
      rows: changes,
      isLast: remaining <= changes.length,
      remaining,
      revoked: head.revoked,
      isForeign,
      isExpired: head.is_expired,
      ...toCounts(head),
    };
    return page;
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
    readAll: (from: Cursor, pageSize: number): Promise<Changes> => read(from, null, pageSize),

    /** The next page of what one recipient was sent or changed since the cursor. */
    readRecipient: (from: Cursor, recipientId: string, pageSize: number) =>
      read(from, recipientId, pageSize),
  };
}

/** Where a read from `from` ends: at its snapshot, cut to the newest row it found (see `truncate`). */
export function reached(from: Snapshot, now: Snapshot, newest: string): Snapshot {
  const end = BigInt(newest) + 1n;
  return truncate(now, end > from.xmax ? end : from.xmax);
}

const toCounts = ({ unread, unseen }: Pick<Row, "unread" | "unseen">): Counts => ({
  unread: Number(unread ?? 0),
  unseen: Number(unseen ?? 0),
});

const toChange = (row: Row): Change => ({
  id: BigInt(row.id ?? 0),
  recipientId: row.recipient_id,
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
  ...toCounts(row),
  isNew: row.is_new === true,
  createdXid: BigInt(row.created_xid),
  changedXid: BigInt(row.changed_xid),
});
