import { PrismaPg } from "@prisma/adapter-pg";
import type { Pool } from "pg";
import type { Cursor } from "../changes/cursor.ts";
import { type Counts, cutAtOf, type Notification } from "../changes/notification.ts";
import { formatSnapshot, parseSnapshot } from "../changes/snapshot.ts";
import { Prisma, PrismaClient } from "./generated/client.ts";
import { reached } from "./page-rows.ts";
import { retryConflicts } from "./retry.ts";
import { orUnavailable } from "./unavailable.ts";

export interface ListOptions {
  recipientId: string;
  limit: number;
  /** Only ids below it. */
  before?: bigint | undefined;
  /** `all` is what is not archived. */
  filter: "all" | "unread" | "archived";
  type?: string | undefined;
  /** Fewer where they take more than this. */
  maxBytes: number;
  /** Where the feed stands; the list's cursor cannot be behind it. */
  position: Cursor;
}

export interface List extends Counts {
  /** What they take; where not even the newest fits, what that one does. */
  bytes: number;
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

/** Which ones a mark-all means: of those that the cursor has, up to and including `before`, and of that type, where given. */
export interface Which {
  cursor?: Cursor | undefined;
  before?: bigint | undefined;
  type?: string | undefined;
}

export type Inbox = ReturnType<typeof createInbox>;

/** A row as it goes over the wire: neither `data` nor a time survives JavaScript's own types. */
const rowCutAt = (cutAt: number | null) => Prisma.sql`
  id,
  recipient_id as "recipientId",
  bellwire.cut_text(type, ${cutAt}) as type,
  bellwire.cut_text(actor_id, ${cutAt}) as "actorId",
  bellwire.cut_text(title, ${cutAt}) as title,
  bellwire.cut_text(body, ${cutAt}) as body,
  bellwire.cut_text(link, ${cutAt}) as link,
  case when octet_length(data::text) > ${cutAt} then '{}' else data::text end as data,
  coalesce(
    greatest(
      octet_length(type), octet_length(actor_id), octet_length(title), octet_length(body), octet_length(link),
      octet_length(data::text)
    ) > ${cutAt},
    false
  ) as "isCut",
  bellwire.wire_time(created_at) as "createdAt",
  bellwire.wire_time(seen_at) as "seenAt",
  bellwire.wire_time(read_at) as "readAt",
  bellwire.wire_time(archived_at) as "archivedAt"`;

/** What such a row takes, as `bellwire.changes_for()` counts. */
const sizeCutAt = (cutAt: number | null) => Prisma.sql`
  256
    + least(octet_length(type), ${cutAt})
    + least(coalesce(octet_length(actor_id), 0), ${cutAt})
    + least(coalesce(octet_length(title), 0), ${cutAt})
    + least(coalesce(octet_length(body), 0), ${cutAt})
    + least(coalesce(octet_length(link), 0), ${cutAt})
    + least(octet_length(data::text), ${cutAt})`;

/** Each as its index says it (migrations/0001_schema.sql). */
const FILTERS = {
  all: Prisma.sql`and num_nonnulls(archived_at) = 0`,
  unread: Prisma.sql`and archived_at is null and read_at is null`,
  archived: Prisma.sql`and archived_at is not null`,
};
const MAX_BIGINT = 2n ** 63n - 1n;

/** Who only reads never fails to serialize in it, whatever the database has for its default. */
const ONE_SNAPSHOT = { isolationLevel: Prisma.TransactionIsolationLevel.RepeatableRead };

/**
 * One recipient's notifications, for the routes. Every query is bound to the recipient, so another's id is simply not
 * found. Changes are stamped and announced by the table's triggers, as those made in psql are. Throws DatabaseUnavailableError.
 */
export function createInbox(pool: Pool, maxEventBytes: number) {
  const cutAt = cutAtOf(maxEventBytes);
  const row = rowCutAt(cutAt);
  // "minimal", for otherwise an error quotes the query's values.
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool), errorFormat: "minimal" });

  return {
    async list(options: ListOptions): Promise<List> {
      const { recipientId, limit, maxBytes, before, filter, type, position } = options;
      const read = () =>
        prisma.$transaction(
          [
            // The recipient's, with ids below `before`: said as a pair and ordered by both, for were the recipient simply
            // equal, PostgreSQL might walk the primary key from its end, over everybody's newer rows.
            prisma.$queryRaw<ListRow[]>`
              select page.id as "pageId", page.upto, shown.*
                from (
                       select n.id, sum(${sizeCutAt(cutAt)}) over (order by n.id desc)::double precision as upto
                         from (
                                select *
                                  from bellwire.notifications
                                 where (recipient_id, id) < (${recipientId}, ${before ?? MAX_BIGINT})
                                   and recipient_id >= ${recipientId}
                                   ${FILTERS[filter]}
                                   ${type === undefined ? Prisma.empty : Prisma.sql`and type = ${type}`}
                                 order by recipient_id desc, id desc
                                 limit ${limit + 1}
                              ) n
                     ) page
                -- What does not fit stays where it is.
                left join lateral (
                       select ${row} from bellwire.notifications where id = page.id and page.upto <= ${maxBytes} limit 1
                     ) shown on true
               order by page.id desc`,
            prisma.$queryRaw<SnapshotRow[]>`
              select epoch, snapshot::text, newest::text, unread::integer, unseen::integer
                from bellwire.changes_for(array[${formatSnapshot(position.at)}]::pg_snapshot[], array[${recipientId}], page_size => 0, most => 0)`,
          ],
          ONE_SNAPSHOT,
        );
      const [rows, [snapshot]] = await orUnavailable(retryConflicts(read));
      if (!snapshot) throw new Error("bellwire.changes_for() returned no row");
      const { epoch, unread, unseen, newest } = snapshot;
      const now = parseSnapshot(snapshot.snapshot);
      // Of another history than the feed knows yet: with the old position a stream says so (`epoch_changed`).
      const cursor =
        epoch === position.epoch ? { epoch, at: reached(position.at, now, newest) } : position;
      const notifications = rows.slice(0, limit).filter(({ upto }) => upto <= maxBytes);
      const last = notifications.at(-1);
      const nextBefore = rows.length > notifications.length ? (last?.id ?? null) : null;
      const bytes = (last ?? rows[0])?.upto ?? 0;
      return { notifications, bytes, nextBefore, unread, unseen, cursor };
    },

    /** What it takes, whole or as `mark` gives it; undefined where the recipient has no such notification. */
    async sizeOf(
      recipientId: string,
      id: bigint,
      as: "whole" | "marked",
    ): Promise<number | undefined> {
      const [found] = await orUnavailable(
        prisma.$queryRaw<{ bytes: number }[]>`
          select (${sizeCutAt(as === "whole" ? null : cutAt)})::double precision as bytes
            from bellwire.notifications where id = ${id} and recipient_id = ${recipientId}`,
      );
      return found?.bytes;
    },

    /** The whole of it; undefined where the recipient has no such notification. */
    async find(recipientId: string, id: bigint): Promise<Notification | undefined> {
      const [found] = await orUnavailable(
        prisma.$queryRaw<Notification[]>`
          select ${rowCutAt(null)} from bellwire.notifications where id = ${id} and recipient_id = ${recipientId}`,
      );
      return found;
    },

    async counts(recipientId: string): Promise<Counts> {
      const [counts] = await orUnavailable(
        prisma.$queryRaw<Counts[]>`
          select count(*)::integer as unread,
                 (count(*) filter (where seen_at is null))::integer as unseen
            from bellwire.notifications
           where recipient_id = ${recipientId}
             and read_at is null
             and archived_at is null`,
      );
      if (!counts) throw new Error("a count returned no row");
      return counts;
    },

    /** Undefined where the recipient has no such notification. What is already so keeps its time. */
    async mark(recipientId: string, id: bigint, marks: Marks): Promise<Notification | undefined> {
      const which = Prisma.sql`id = ${id} and recipient_id = ${recipientId}`;
      const [current] = await orUnavailable(
        prisma.$queryRaw<Notification[]>`select ${row} from bellwire.notifications where ${which}`,
      );
      if (!current) return undefined;
      const changes = [
        ...stamp("read_at", current.readAt, marks.read),
        ...stamp("seen_at", current.seenAt, marks.seen),
        ...stamp("archived_at", current.archivedAt, marks.archived),
      ];
      if (changes.length === 0) return current;
      const [changed] = await orUnavailable(
        prisma.$queryRaw<Notification[]>`
          update bellwire.notifications set ${Prisma.join(changes)}
           where ${which} and bellwire.triggers_fire() returning ${row}`,
      );
      return changed;
    },

    /** Marks all the unread as read, or all the unseen as seen; returns how many changed, or null for a cursor of another history. */
    async markAll(
      as: "read" | "seen",
      recipientId: string,
      { before, type, cursor }: Which,
    ): Promise<number | null> {
      const had = cursor && hadAt(cursor);
      const [marked] = await orUnavailable(
        prisma.$queryRaw<{ count: number | null }[]>`
          select bellwire.mark_all(${as}, ${recipientId}, ${before}, ${type}, ${had?.at}::pg_snapshot, ${cursor?.epoch},
                   ${had?.reading}::pg_snapshot, ${had?.id})::integer as count`,
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

    /** Mutes these types and no others; returns them as they are kept, each once. */
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

/** The notifications that a position has: all that `at` sees; within a read of new ones, those up to an id of it, too. */
function hadAt({ at, reading }: Cursor) {
  if (reading?.place.stage === "changed") return { at: formatSnapshot(reading.upto) };
  if (reading?.place.stage !== "new") return { at: formatSnapshot(at) };
  const { upto, place } = reading;
  return { at: formatSnapshot(at), reading: formatSnapshot(upto), id: place.id };
}

/** What does not fit has no more than these two. */
interface ListRow extends Notification {
  pageId: bigint;
  /** What all up to and including this one take. */
  upto: number;
}

interface SnapshotRow extends Counts {
  epoch: string;
  snapshot: string;
  newest: string;
}

/** What to set the column to, or nothing where it already is as asked. A `now()` might be that of somebody's `search_path`. */
function stamp(column: string, current: string | null, wanted?: boolean): Prisma.Sql[] {
  if (wanted === undefined || wanted === (current !== null)) return [];
  return [Prisma.sql`${Prisma.raw(column)} = ${wanted ? Prisma.sql`current_timestamp` : null}`];
}
