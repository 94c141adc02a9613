import type { Change, MarkAll, RecipientPage, Removal } from "../../src/changes/changes.ts";
import { type Cursor, START, type Stage, stageNumber } from "../../src/changes/cursor.ts";
import { isVisible, type Snapshot, truncate } from "../../src/changes/snapshot.ts";

interface Version {
  id: bigint;
  recipientId: string;
  createdXid: bigint;
  changedXid: bigint;
  readAt: string | null;
}

interface Transaction {
  xid: bigint;
  /** By id; undefined when deleted. */
  written: Map<bigint, Version | undefined>;
  removed: Removal[];
  /** By their recipients. */
  marked: Map<string, KeptMarkAll>;
}

interface KeptMarkAll extends MarkAll {
  readonly readAt: string;
  readonly replaced: readonly bigint[];
}

/**
 * PostgreSQL as bellwire.changes_since() sees it, in memory: transactions that get their ids when they begin, write, and end in
 * any order, and reads of the committed rows. The SQL itself is tested on real servers; this explores thousands of
 * interleavings.
 */
export function createHistory() {
  const committed = new Map<bigint, Version>();
  const removals: Removal[] = [];
  /** Each recipient's last one. */
  const markAlls = new Map<string, KeptMarkAll>();
  const open: Transaction[] = [];
  let nextXid = 10n;
  let nextId = 1n;
  let lastCompleted = 9n;
  let marksMade = 0;

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

  /** A transaction, and a committed row as that transaction sees it. Undefined when another has locked the row. */
  function aim(index: number, row: number) {
    const transaction = open[index % open.length];
    const found = [...committed.values()][row % Math.max(1, committed.size)];
    if (!transaction || !found) return undefined;
    if (open.some((other) => other !== transaction && other.written.has(found.id)))
      return undefined;
    const target = transaction.written.has(found.id) ? transaction.written.get(found.id) : found;
    return target && { transaction, target };
  }

  /** The mark-alls that a reader at `at` can apply: it has every state that they replaced. */
  const toldAt = (at: Snapshot, upto: Snapshot) =>
    [...markAlls.values()]
      .filter(({ markedXid }) => !isVisible(at, markedXid) && isVisible(upto, markedXid))
      .filter(({ replaced }) => replaced.every((xid) => isVisible(at, xid)))
      .filter(({ recipientId, before }) =>
        rowsOf(recipientId).every(
          ({ id, readAt, changedXid }) =>
            id > before || readAt !== null || !isVisible(at, changedXid),
        ),
      );

  /** Whether a reader at `at` must remove the row. Not when the row is there again, and the reader has seen that. */
  const isGone = ({ id, recipientId }: Removal, at: Snapshot) => {
    const now = committed.get(id);
    return now?.recipientId !== recipientId || !isVisible(at, now.createdXid);
  };

  return {
    /** Returns the transaction's index. */
    begin: () =>
      open.push({ xid: nextXid++, written: new Map(), removed: [], marked: new Map() }) - 1,

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

    /** Marks as read, or as unread again. */
    update(index: number, row: number) {
      const aimed = aim(index, row);
      if (!aimed) return;
      const { transaction, target } = aimed;
      transaction.written.set(target.id, {
        ...target,
        changedXid: transaction.xid,
        readAt: target.readAt ? null : `read by ${transaction.xid}`,
      });
    },

    /** Marks all unread rows that the transaction sees. Does nothing when another has locked one, because it would wait. */
    markAll(index: number, recipientId: string) {
      const transaction = open[index % open.length];
      if (!transaction) return;
      const { xid, written, marked } = transaction;
      const seen = [...new Map([...committed, ...written]).values()];
      const unread = seen.filter((row) => row?.recipientId === recipientId && row.readAt === null);
      const targets = unread.filter((row) => row !== undefined);
      const others = open.filter((other) => other !== transaction);
      const isBusy = targets.some(({ id }) => others.some((other) => other.written.has(id)));
      const waits = others.some((other) => other.marked.has(recipientId));
      if (targets.length === 0 || isBusy || waits) return;
      const readAt = `read with all ${++marksMade}`;
      for (const row of targets) written.set(row.id, { ...row, changedXid: xid, readAt });
      marked.set(recipientId, {
        recipientId,
        markedXid: xid,
        before: targets.map(({ id }) => id).reduce((a, b) => (a > b ? a : b)),
        seenAt: readAt,
        readAt,
        replaced: targets.map(({ changedXid }) => changedXid),
      });
    },

    delete(index: number, row: number) {
      const aimed = aim(index, row);
      if (!aimed) return;
      const { transaction, target } = aimed;
      transaction.written.set(target.id, undefined);
      transaction.removed.push({ ...target, removedXid: transaction.xid });
    },

    /** Gives the row to another recipient, for whom it is new. */
    move(index: number, row: number, recipientId: string) {
      const aimed = aim(index, row);
      if (!aimed || aimed.target.recipientId === recipientId) return;
      const { transaction, target } = aimed;
      const { xid } = transaction;
      transaction.written.set(target.id, {
        ...target,
        recipientId,
        createdXid: xid,
        changedXid: xid,
      });
      transaction.removed.push({ ...target, removedXid: xid });
    },

    commit(index: number) {
      const { written, removed, marked } = end(index) ?? {};
      for (const [recipientId, mark] of marked ?? []) markAlls.set(recipientId, mark);
      for (const [id, version] of written ?? [])
        if (version) committed.set(id, version);
        else committed.delete(id);
      removals.push(...(removed ?? []));
    },

    rollBack: (index: number) => void end(index),

    endAll() {
      while (open.length > 0) this.commit(0);
    },

    now: (): Cursor => ({ epoch: "00000000", at: snapshot() }),

    rowsOf,

    unreadOf,

    read(from: Cursor, recipientId: string | null, pageSize: number): RecipientPage {
      const now = snapshot();
      const upto = from.reading?.upto ?? now;
      const place = from.reading?.place ?? START;
      const isAsked = (row: { recipientId: string }) =>
        recipientId === null || row.recipientId === recipientId;
      const isLeft = (stage: Stage, id: bigint) =>
        stage === place.stage ? id > place.id : stageNumber(stage) > stageNumber(place.stage);

      const told = from.reading ? [] : toldAt(from.at, upto).filter(isAsked);
      const marked = told
        .filter(({ before }) => isLeft("marked", before))
        .sort((a, b) => Number(a.before - b.before));
      const markOf = (row: Version) =>
        told.find((mark) => mark.recipientId === row.recipientId && row.id <= mark.before);
      const isAsMarked = (row: Version) => {
        const mark = markOf(row);
        return row.changedXid === mark?.markedXid && row.readAt === mark.readAt;
      };
      const removed = removals
        .filter(isAsked)
        .filter(({ removedXid }) => !isVisible(from.at, removedXid) && isVisible(upto, removedXid))
        .filter((removal) => isGone(removal, from.at) && isLeft("removed", removal.id))
        .sort((a, b) => Number(a.id - b.id));
      const rows = [...committed.values()]
        .filter(isAsked)
        .filter((row) => !isVisible(from.at, row.changedXid))
        .filter((row) => !isVisible(from.at, row.createdXid) || !isAsMarked(row))
        .map((row) => ({ ...BLANK, ...row, isNew: !isVisible(from.at, row.createdXid) }))
        .filter((row) => !row.isNew || isVisible(upto, row.createdXid))
        .filter((row) => isLeft(row.isNew ? "new" : "changed", row.id))
        .sort((a, b) => Number(b.isNew) - Number(a.isNew) || Number(a.id - b.id));
      let newest = from.at.xmax - 1n;
      const xids = rows.flatMap(({ createdXid, changedXid }) => [createdXid, changedXid]);
      const others = [
        ...told.map(({ markedXid }) => markedXid),
        ...removed.map(({ removedXid }) => removedXid),
      ];
      for (const xid of [...xids, ...others]) if (xid > newest) newest = xid;

      // A row that passed through several recipients is removed from each. A page does not end between those removals.
      const upToTies = <Row>(all: Row[], size: number, idOf: (row: Row) => bigint) => {
        const last = all[Math.min(size, all.length) - 1];
        return all.filter((row) => last !== undefined && idOf(row) <= idOf(last));
      };
      const markedHere = upToTies(marked, pageSize, ({ before }) => before);
      const forRemoved = pageSize - marked.length;
      const removedHere = upToTies(removed, forRemoved, ({ id }) => id);
      const page = rows.slice(0, Math.max(0, forRemoved - removed.length));
      const counted = [...markedHere, ...removedHere, ...page.filter(({ isNew }) => !isNew)];
      const remaining = marked.length + removed.length + rows.length;
      return {
        epoch: from.epoch,
        from: from.at,
        upto: from.reading?.upto ?? truncate(now, newest + 1n),
        present: truncate(now, newest + 1n),
        marked: markedHere,
        removed: removedHere,
        changes: page,
        isLast: markedHere.length + removedHere.length + page.length === remaining,
        remaining,
        remainingNew: rows.filter(({ isNew }) => isNew).length,
        revoked: [],
        isForeign: false,
        isExpired: false,
        suspendedMs: 0,
        moment: now,
        counts: new Map(counted.map((row) => [row.recipientId, countsOf(row.recipientId)])),
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
