import { PrismaPg } from "@prisma/adapter-pg";
import type { Pool } from "pg";
import { reached } from "./changes.ts";
import type { Cursor } from "./cursor.ts";
import { Prisma, PrismaClient } from "./generated/client.ts";
import type { Counts, Notification } from "./notification.ts";
import { formatSnapshot, parseSnapshot } from "./snapshot.ts";

export interface ListOptions {
  recipientId: string;
  limit: number;
  /** Only ids below it. */
  before?: bigint | undefined;
  /** What is not archived, of that the unread, or the archived. */
  filter?: "unread" | "archived" | undefined;
  type?: string | undefined;
  /** Where the feed stands; the list's cursor cannot be behind it. */
  position: Cursor;
}

export interface List extends Counts {
  /** Newest first. */
  notifications: Notification[];
  nextBefore: bigint | null;
  /** The snapshot the list was read in: a stream that resumes here sends what came after it. */
  cursor: Cursor;
}

/** What to set: true, false, or leave as it is. */
export interface Marks {
  read?: boolean | undefined;
  seen?: boolean | undefined;
  archived?: boolean | undefined;
}

export type Inbox = ReturnType<typeof createInbox>;

const UNREAD = { readAt: null, archivedAt: null };
const ONE_SNAPSHOT = { isolationLevel: Prisma.TransactionIsolationLevel.RepeatableRead };

/**
 * One recipient's notifications, for the routes. Every query is bound to the recipient, so another's id is simply not
 * found. Changes are stamped and announced by the table's triggers, as those made in psql are.
 */
export function createInbox(pool: Pool) {
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });

  return {
    async list({ recipientId, limit, before, filter, type, position }: ListOptions): Promise<List> {
      const where: Prisma.NotificationWhereInput = {
        recipientId,
        ...(filter === "unread" ? UNREAD : {}),
        ...(filter === "archived" ? { archivedAt: { not: null } } : { archivedAt: null }),
        ...(before === undefined ? {} : { id: { lt: before } }),
        ...(type === undefined ? {} : { type }),
      };
      const [rows, [snapshot]] = await prisma.$transaction(
        [
          prisma.notification.findMany({ where, orderBy: { id: "desc" }, take: limit + 1 }),
          prisma.$queryRaw<SnapshotRow[]>`
            select epoch, snapshot::text, newest::text, unread::integer, unseen::integer
              from bellwire.changes_since(${formatSnapshot(position.at)}::pg_snapshot, ${recipientId}, page_size => 1)`,
        ],
        ONE_SNAPSHOT,
      );
      if (!snapshot) throw new Error("bellwire.changes_since() returned no row");
      const { epoch, unread, unseen, newest } = snapshot;
      const now = parseSnapshot(snapshot.snapshot);
      const at = epoch === position.epoch ? reached(position.at, now, newest) : now;
      const notifications = rows.slice(0, limit);
      const nextBefore = rows.length > limit ? (notifications.at(-1)?.id ?? null) : null;
      return { notifications, nextBefore, unread, unseen, cursor: { epoch, at } };
    },

    async counts(recipientId: string): Promise<Counts> {
      const where = { recipientId, ...UNREAD };
      const [unread, unseen] = await prisma.$transaction(
        [
          prisma.notification.count({ where }),
          prisma.notification.count({ where: { ...where, seenAt: null } }),
        ],
        ONE_SNAPSHOT,
      );
      return { unread, unseen };
    },

    /** Undefined where the recipient has no such notification. What is already so keeps its time. */
    async mark(recipientId: string, id: bigint, marks: Marks): Promise<Notification | undefined> {
      const current = await prisma.notification.findUnique({ where: { id, recipientId } });
      if (!current) return undefined;
      const data = {
        ...stamp("readAt", current.readAt, marks.read),
        ...stamp("seenAt", current.seenAt, marks.seen),
        ...stamp("archivedAt", current.archivedAt, marks.archived),
      };
      if (Object.keys(data).length === 0) return current;
      const [changed] = await prisma.notification.updateManyAndReturn({
        where: { id, recipientId },
        data,
      });
      return changed;
    },

    /** Marks unread ones up to and including `before` (all where undefined); returns how many changed. */
    async markAllRead(recipientId: string, before?: bigint, type?: string): Promise<number> {
      const { count } = await prisma.notification.updateMany({
        where: {
          recipientId,
          ...UNREAD,
          ...(before === undefined ? {} : { id: { lte: before } }),
          ...(type === undefined ? {} : { type }),
        },
        data: { readAt: new Date() },
      });
      return count;
    },

    close: () => prisma.$disconnect(),
  };
}

interface SnapshotRow extends Counts {
  epoch: string;
  snapshot: string;
  newest: string;
}

/** The field to write, or nothing where it already is as asked. */
function stamp<Field extends string>(field: Field, current: Date | null, wanted?: boolean) {
  if (wanted === undefined || wanted === (current !== null)) return {};
  return { [field]: wanted ? new Date() : null } as { [F in Field]: Date | null };
}
