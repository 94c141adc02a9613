import type { Change, RecipientChanges } from "../../src/db/changes.ts";
import type { Cursor } from "../../src/db/cursor.ts";
import { isVisible, type Snapshot, truncate } from "../../src/db/snapshot.ts";

interface Version {
  id: bigint;
  recipientId: string;
  createdXid: bigint;
  changedXid: bigint;
  readAt: string | null;
}

interface Transaction {
  xid: bigint;
  written: Map<bigint, Version>;
}

/**
 * Postgres as far as bellwire.changes_since() sees it, in memory: transactions that get their ids when they
 * begin, write, and end in any order, and reads of what is committed. What the SQL does with the
 * same question is tested against real servers; this is for exploring interleavings by the thousand.
 */
export function createHistory() {
  const committed = new Map<bigint, Version>();
  const open: Transaction[] = [];
  let nextXid = 10n;
  let nextId = 1n;
  let lastCompleted = 9n;

  const end = (index: number) => {
    const [transaction] = open.splice(index % open.length, 1);
    if (!transaction) return undefined;
    if (transaction.xid > lastCompleted) lastCompleted = transaction.xid;
    return transaction;
  };

  const snapshot = (): Snapshot => ({
    xmax: lastCompleted + 1n,
    inProgress: open
      .map(({ xid }) => xid)
      .filter((xid) => xid <= lastCompleted)
      .sort((a, b) => Number(a - b)),
  });

  const rowsOf = (recipientId: string) =>
    [...committed.values()].filter((version) => version.recipientId === recipientId);

  const unreadOf = (recipientId: string) =>
    rowsOf(recipientId).filter(({ readAt }) => readAt === null).length;

  const countsOf = (recipientId: string) => {
    const unread = unreadOf(recipientId);
    return { unread, unseen: unread };
  };

  return {
    begin: () => void open.push({ xid: nextXid++, written: new Map() }),

    insert(index: number, recipientId: string) {
      const transaction = open[index % open.length];
      if (!transaction) return;
      const { xid, written } = transaction;
      written.set(nextId, {
        id: nextId,
        recipientId,
        createdXid: xid,
        changedXid: xid,
        readAt: null,
      });
      nextId++;
    },

    /** Marks as read, or as unread again, a committed row that no open transaction has locked. */
    update(index: number, row: number) {
      const transaction = open[index % open.length];
      const target = [...committed.values()][row % Math.max(1, committed.size)];
      if (!transaction || !target || open.some(({ written }) => written.has(target.id))) return;
      transaction.written.set(target.id, {
        ...target,
        changedXid: transaction.xid,
        readAt: target.readAt ? null : "1970-01-01T00:00:00.000Z",
      });
    },

    commit(index: number) {
      for (const version of end(index)?.written.values() ?? []) committed.set(version.id, version);
    },

    rollBack: (index: number) => void end(index),

    endAll() {
      while (open.length > 0) this.commit(0);
    },

    now: (): Cursor => ({ epoch: "00000000", at: snapshot() }),

    rowsOf,

    unreadOf,

    read(from: Cursor, recipientId: string | null, pageSize: number): RecipientChanges {
      const now = snapshot();
      const upto = from.reading?.upto ?? now;
      const place = from.reading?.place ?? { changed: false, id: 0n };
      const found = [...committed.values()]
        .filter((row) => recipientId === null || row.recipientId === recipientId)
        .filter((row) => !isVisible(from.at, row.changedXid))
        .map((row) => ({ ...row, isNew: !isVisible(from.at, row.createdXid) }));
      const rows = found
        .filter((row) => isVisible(upto, row.isNew ? row.createdXid : row.changedXid))
        .filter((row) =>
          row.isNew === place.changed ? place.changed < !row.isNew : row.id > place.id,
        )
        .sort((a, b) => Number(b.isNew) - Number(a.isNew) || Number(a.id - b.id));
      let newest = from.at.xmax - 1n;
      for (const xid of rows.flatMap(({ createdXid, changedXid }) => [createdXid, changedXid]))
        if (xid > newest) newest = xid;
      const page = rows.slice(0, pageSize).map((row) => ({ ...BLANK, ...row }));
      return {
        epoch: from.epoch,
        from: from.at,
        upto: from.reading?.upto ?? truncate(now, newest + 1n),
        rows: page,
        isLast: page.length === rows.length,
        remaining: rows.length,
        revoked: [],
        isForeign: false,
        isExpired: false,
        suspendedMs: 0,
        moment: now,
        counts: new Map(
          page
            .filter(({ isNew }) => !isNew)
            .map((row) => [row.recipientId, countsOf(row.recipientId)]),
        ),
        ...countsOf(recipientId ?? ""),
      };
    },
  };
}

const BLANK: Omit<Change, keyof Version | "isNew"> = {
  type: "test",
  actorId: null,
  title: null,
  body: null,
  link: null,
  data: "{}",
  isCut: false,
  createdAt: "1970-01-01T00:00:00.000Z",
  seenAt: null,
  archivedAt: null,
};
