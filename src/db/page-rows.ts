import type { Change, MarkAll, Page, Removal } from "../changes/changes.ts";
import { type Cursor, type Stage, stageByNumber } from "../changes/cursor.ts";
import type { Counts } from "../changes/notification.ts";
import { parseSnapshot, type Snapshot, truncate } from "../changes/snapshot.ts";

/** The first row that `bellwire.changes_since()` and `changes_for()` return. The rows of the page follow. */
export interface Head {
  epoch: string;
  snapshot: string;
  newest: string;
  is_expired: boolean;
  remaining: string;
  /** Only from `changes_for()`. */
  bytes?: string;
  revoked: string[];
  suspended_ms: number;
  unread: string | null;
  unseen: string | null;
  /** Only from `changes_for()`. */
  fresh?: string;
  id: null;
}

/** The columns that every row of a notification has. */
interface NotificationRow {
  id: string;
  recipient_id: string;
  type: string | null;
  actor_id: string | null;
  title: string | null;
  body: string | null;
  link: string | null;
  data: string;
  created_at: string;
  created_xid: string;
  changed_xid: string;
}

export interface PageRow extends NotificationRow {
  unread: string | null;
  unseen: string | null;
  stage: number;
  is_cut: boolean;
  seen_at: string | null;
  read_at: string | null;
  archived_at: string | null;
}

/** What `bellwire.new_rows_since()` returns: a head in each row, and a new notification, if there is one. */
export type NewRow = Pick<Head, "snapshot" | "suspended_ms"> & {
  file: string | null;
  is_complete: boolean;
} & ({ id: null } | (NotificationRow & { is_plain: boolean }));

/** Undefined if there is more than new notifications with short texts. */
export function toNewRowsPage(rows: readonly NewRow[], { epoch, at }: Cursor): Page | undefined {
  const [head] = rows;
  if (!head?.is_complete) return undefined;
  const moment = parseSnapshot(head.snapshot);
  if (moment.xmax < at.xmax) return undefined;
  const changes: Change[] = [];
  let newest = 0n;
  for (const row of rows) {
    if (row.id === null) break;
    if (!row.is_plain) return undefined;
    const change = toChange(row, PLAIN);
    changes.push(change);
    newest = later(newest, later(change.createdXid, change.changedXid));
  }
  const upto = endOfRead(at, moment, newest);
  return {
    epoch,
    from: at,
    upto,
    present: upto,
    moment,
    marked: [],
    removed: [],
    changes: changes.sort((a, b) => (a.id < b.id ? -1 : 1)),
    isLast: true,
    remaining: changes.length,
    revoked: [],
    counts: new Map(),
    suspendedMs: head.suspended_ms,
    isForeign: false,
    isExpired: false,
  };
}

const later = (a: bigint, b: bigint) => (a > b ? a : b);

/** Whether the cursor's transactions belong to another history than the database's. */
export function isForeign(head: Head, { epoch, at, reading }: Cursor): boolean {
  return head.epoch !== epoch || parseSnapshot(head.snapshot).xmax < (reading?.upto ?? at).xmax;
}

/** The reader continues from `start`, not from `moment`, because `moment` ends at the server's newest transaction (see `truncate`). */
export const toForeignPage = (head: Head, from: Cursor, start: Cursor): Page => ({
  ...toPage(head, [], from),
  epoch: start.epoch,
  upto: start.at,
  present: start.at,
  isLast: true,
  remaining: 0,
  isForeign: true,
});

export function toPage(head: Head, page: readonly PageRow[], { at, reading }: Cursor): Page {
  const moment = parseSnapshot(head.snapshot);
  const present = endOfRead(at, moment, head.newest);
  const remaining = Number(head.remaining);
  const of = (name: Stage) => page.filter(({ stage }) => stageByNumber(stage) === name);
  const [marked, removed] = [of("marked"), of("removed")];
  return {
    epoch: head.epoch,
    from: at,
    upto: reading?.upto ?? present,
    present,
    moment,
    marked: marked.map(toMarkAll),
    removed: removed.map(toRemoval),
    changes: page.slice(marked.length + removed.length).map((row) => toChange(row, stateOf(row))),
    isLast: remaining <= page.length,
    remaining,
    revoked: head.revoked,
    counts: countsOf(page),
    suspendedMs: head.suspended_ms,
    isForeign: false,
    isExpired: head.is_expired,
  };
}

/** The position at which a read ends: its snapshot, cut at the newest row that it found (see `truncate`). */
export function endOfRead(from: Snapshot, now: Snapshot, newest: bigint | string): Snapshot {
  const end = BigInt(newest) + 1n;
  return truncate(now, end > from.xmax ? end : from.xmax);
}

function countsOf(page: readonly PageRow[]): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  for (const { recipient_id, unread, unseen } of page)
    if (unread !== null)
      counts.set(recipient_id, { unread: Number(unread), unseen: Number(unseen) });
  return counts;
}

const toMarkAll = (row: PageRow): MarkAll => ({
  recipientId: row.recipient_id,
  markedXid: BigInt(row.changed_xid),
  before: BigInt(row.id),
  seenAt: row.seen_at ?? "",
  readAt: row.read_at,
});

const toRemoval = (row: PageRow): Removal => ({
  id: BigInt(row.id),
  recipientId: row.recipient_id,
  removedXid: BigInt(row.changed_xid),
});

type State = Pick<Change, "isCut" | "seenAt" | "readAt" | "archivedAt" | "isNew">;

const PLAIN: State = { isCut: false, seenAt: null, readAt: null, archivedAt: null, isNew: true };

const stateOf = (row: PageRow): State => ({
  isCut: row.is_cut,
  seenAt: row.seen_at,
  readAt: row.read_at,
  archivedAt: row.archived_at,
  isNew: stageByNumber(row.stage) === "new",
});

const toChange = (row: NotificationRow, state: State): Change => ({
  id: BigInt(row.id),
  recipientId: row.recipient_id,
  type: row.type ?? "",
  actorId: row.actor_id,
  title: row.title,
  body: row.body,
  link: row.link,
  data: row.data,
  isCut: state.isCut,
  createdAt: row.created_at,
  seenAt: state.seenAt,
  readAt: state.readAt,
  archivedAt: state.archivedAt,
  isNew: state.isNew,
  createdXid: BigInt(row.created_xid),
  changedXid: BigInt(row.changed_xid),
});
