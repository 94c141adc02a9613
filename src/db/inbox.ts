import { PrismaPg } from "@prisma/adapter-pg";
import type { Pool } from "pg";
import type { Cursor } from "../changes/cursor.ts";
import { type Counts, cutAtOf, type Notification } from "../changes/notification.ts";
import { formatSnapshot } from "../changes/snapshot.ts";
import { Prisma, PrismaClient } from "./generated/client.ts";
import { createInboxList } from "./inbox-list.ts";
import { type KnownCounts, MANY, readCounts } from "./known-counts.ts";
import { bytesCutAt, columnsCutAt } from "./notification-sql.ts";
import { orUnavailable } from "./unavailable.ts";

/** True sets the time, false clears it, undefined leaves it. */
export interface Marks {
  read?: boolean | undefined;
  seen?: boolean | undefined;
  archived?: boolean | undefined;
}

/** Limits a mark-all to ids up to and including `before`, to one type, and to the notifications that a reader at the cursor has. */
export interface MarkAllScope {
  cursor?: Cursor | undefined;
  before?: bigint | undefined;
  type?: string | undefined;
}

export type Inbox = ReturnType<typeof createInbox>;

/**
 * One recipient's notifications, for the routes. Every query has the recipient in its condition, so the id of another recipient's
 * notification is not found. The table's triggers stamp and announce each write, as they do for a write in psql. Throws
 * DatabaseUnavailableError.
 */
export function createInbox(pool: Pool, maxEventBytes: number, knownCounts: KnownCounts) {
  const cutAt = cutAtOf(maxEventBytes);
  const columns = columnsCutAt(cutAt);
  // "minimal", because otherwise an error quotes the query's values.
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool), errorFormat: "minimal" });

  return {
    list: createInboxList(prisma, cutAt, knownCounts),

    /** The bytes of a notification, whole or as `mark` returns it; undefined when the recipient has no such notification. */
    async sizeOf(
      recipientId: string,
      id: bigint,
      as: "whole" | "marked",
    ): Promise<number | undefined> {
      const [found] = await orUnavailable(
        prisma.$queryRaw<{ bytes: number }[]>`
          select (${bytesCutAt(as === "whole" ? null : cutAt)})::double precision as bytes
            from bellwire.notifications where id = ${id} and recipient_id = ${recipientId}`,
      );
      return found?.bytes;
    },

    /** The whole notification; undefined when the recipient has no such notification. */
    async find(recipientId: string, id: bigint): Promise<Notification | undefined> {
      const [found] = await orUnavailable(
        prisma.$queryRaw<Notification[]>`
          select ${columnsCutAt(null)} from bellwire.notifications where id = ${id} and recipient_id = ${recipientId}`,
      );
      return found;
    },

    /** A few are counted sooner than it is found out whether they have changed. */
    async counts(recipientId: string): Promise<Counts> {
      if (!knownCounts.has(recipientId)) {
        const [counts] = await orUnavailable(
          prisma.$queryRaw<Counts[]>`
            select unread::integer, unseen::integer
              from bellwire.count_unread(${recipientId})`,
        );
        if (!counts) throw new Error("a count returned no row");
        if (counts.unread < MANY) return counts;
      }
      const { query, take } = readCounts(prisma, knownCounts, recipientId);
      const { unread, unseen } = take(await orUnavailable(query()));
      return { unread, unseen };
    },

    /** Undefined when the recipient has no such notification. A mark that is already set keeps its time. */
    async mark(recipientId: string, id: bigint, marks: Marks): Promise<Notification | undefined> {
      const isOwn = Prisma.sql`id = ${id} and recipient_id = ${recipientId}`;
      const [current] = await orUnavailable(
        prisma.$queryRaw<
          Notification[]
        >`select ${columns} from bellwire.notifications where ${isOwn}`,
      );
      if (!current) return undefined;
      const assignments = [
        ...assign("read_at", current.readAt, marks.read),
        ...assign("seen_at", current.seenAt, marks.seen),
        ...assign("archived_at", current.archivedAt, marks.archived),
      ];
      if (assignments.length === 0) return current;
      const [changed] = await orUnavailable(
        prisma.$queryRaw<Notification[]>`
          update bellwire.notifications set ${Prisma.join(assignments)}
           where ${isOwn} and bellwire.triggers_fire() returning ${columns}`,
      );
      return changed;
    },

    /** Marks all unread as read, or all unseen as seen. Returns how many changed, or null when the cursor is of another history. */
    async markAll(
      as: "read" | "seen",
      recipientId: string,
      { before, type, cursor }: MarkAllScope,
    ): Promise<number | null> {
      const held = cursor && heldAt(cursor);
      const [marked] = await orUnavailable(
        prisma.$queryRaw<{ count: number | null }[]>`
          select bellwire.mark_all(${as}, ${recipientId}, ${before}, ${type}, ${held?.at}::pg_snapshot, ${cursor?.epoch},
                   ${held?.reading}::pg_snapshot, ${held?.id})::integer as count`,
      );
      if (!marked) throw new Error("bellwire.mark_all() returned no row");
      return marked.count;
    },

    async mutedTypes(recipientId: string): Promise<string[]> {
      const preference = await orUnavailable(
        prisma.preference.findUnique({ where: { recipientId } }),
      );
      return preference?.mutedTypes ?? [];
    },

    /** Mutes exactly these types. Returns them as they are stored, without repeats. */
    async muteTypes(recipientId: string, types: string[]): Promise<string[]> {
      const [muted] = await orUnavailable(
        prisma.$queryRaw<{ types: string[] }[]>`
          select bellwire.mute_types(${recipientId}, ${types}::text[]) as types`,
      );
      if (!muted) throw new Error("bellwire.mute_types() returned no row");
      return muted.types;
    },

    close: () => prisma.$disconnect(),
  };
}

/** The notifications that a reader at this cursor holds: all that `at` sees, and the new ones of an unfinished read up to its place. */
function heldAt({ at, reading }: Cursor) {
  if (reading?.place.stage === "changed") return { at: formatSnapshot(reading.upto) };
  if (reading?.place.stage !== "new") return { at: formatSnapshot(at) };
  const { upto, place } = reading;
  return { at: formatSnapshot(at), reading: formatSnapshot(upto), id: place.id };
}

/** The column's assignment, or none if it already has the wanted state. `current_timestamp`, because another schema may have a `now()`. */
function assign(column: string, current: string | null, wanted?: boolean): Prisma.Sql[] {
  if (wanted === undefined || wanted === (current !== null)) return [];
  return [Prisma.sql`${Prisma.raw(column)} = ${wanted ? Prisma.sql`current_timestamp` : null}`];
}
