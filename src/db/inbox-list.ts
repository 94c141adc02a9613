import type { Cursor } from "../changes/cursor.ts";
import type { Counts, Notification } from "../changes/notification.ts";
import { parseSnapshot } from "../changes/snapshot.ts";
import { Prisma, type PrismaClient } from "./generated/client.ts";
import { type KnownCounts, readCounts } from "./known-counts.ts";
import { bytesCutAt, columnsCutAt } from "./notification-sql.ts";
import { endOfRead } from "./page-rows.ts";
import { retryConflicts } from "./retry.ts";
import { orUnavailable } from "./unavailable.ts";

export interface ListOptions {
  recipientId: string;
  limit: number;
  /** Only ids below it. */
  before?: bigint | undefined;
  /** `all` means everything that is not archived. */
  filter: "all" | "unread" | "archived";
  type?: string | undefined;
  /** The list ends before the notification that would exceed this. */
  maxBytes: number;
  /** The feed's position; the list's cursor cannot be behind it. */
  position: Cursor;
}

export interface List extends Counts {
  /** The size of these notifications, or of the newest one if even that does not fit. */
  bytes: number;
  /** Newest first. */
  notifications: Notification[];
  nextBefore: bigint | null;
  /** The snapshot in which the list was read: a stream that resumes here sends everything that came after it. */
  cursor: Cursor;
}

const UNREAD = Prisma.sql`and archived_at is null and read_at is null`;
const READ = Prisma.sql`and archived_at is null and read_at is not null`;
const ARCHIVED = Prisma.sql`and archived_at is not null`;
/** Each condition is that of an index (migrations/). A page is merged from the newest of each. */
const FILTERS = { all: [UNREAD, READ], unread: [UNREAD], archived: [ARCHIVED] };
const MAX_BIGINT = 2n ** 63n - 1n;

/** Both queries see the same rows. At this level a transaction that only reads never fails with a serialization failure. */
const ONE_SNAPSHOT = { isolationLevel: Prisma.TransactionIsolationLevel.RepeatableRead };

/** One page of a recipient's list, with the counts and the cursor of the same snapshot. Throws DatabaseUnavailableError. */
export function createInboxList(
  prisma: PrismaClient,
  cutAt: number | null,
  knownCounts: KnownCounts,
) {
  const columns = columnsCutAt(cutAt);
  const bytesOfRow = bytesCutAt(cutAt);

  // The condition and the order have the pair of recipient and id. With `recipient_id = …` PostgreSQL might walk the primary key
  // from its end, over the newer rows of all recipients.
  const newest = (
    { recipientId, before, type, limit }: ListOptions,
    condition: Prisma.Sql,
  ) => Prisma.sql`
                          (select *
                             from bellwire.notifications
                            where (recipient_id, id) < (${recipientId}, ${before ?? MAX_BIGINT})
                              and recipient_id >= ${recipientId}
                              ${condition}
                              ${type === undefined ? Prisma.empty : Prisma.sql`and type = ${type}`}
                            order by recipient_id desc, id desc
                            limit ${limit + 1})`;

  const queryRows = (options: ListOptions) =>
    prisma.$queryRaw<ListRow[]>`
      select page.id as "pageId", page.upto, shown.*
        from (
               select n.id, sum(${bytesOfRow}) over (order by n.id desc)::double precision as upto
                 from (
                        select *
                          from (${Prisma.join(
                            FILTERS[options.filter].map((condition) => newest(options, condition)),
                            " union all ",
                          )}
                               ) candidates
                         order by id desc
                         limit ${options.limit + 1}
                      ) n
             ) page
        -- A row that does not fit is not read.
        left join lateral (
               select ${columns} from bellwire.notifications where id = page.id and page.upto <= ${options.maxBytes} limit 1
             ) shown on true
       order by page.id desc`;

  return async (options: ListOptions): Promise<List> => {
    const { limit, maxBytes, position, recipientId } = options;
    const counts = readCounts(prisma, knownCounts, recipientId);
    const read = () => prisma.$transaction([queryRows(options), counts.query()], ONE_SNAPSHOT);
    const [rows, heads] = await orUnavailable(retryConflicts(read));
    const { epoch, snapshot, newest, unread, unseen } = counts.take(heads);
    const now = parseSnapshot(snapshot);
    // The feed does not know this history yet. A stream that resumes at the old position is sent a reset (`epoch_changed`).
    const cursor =
      epoch === position.epoch ? { epoch, at: endOfRead(position.at, now, newest) } : position;
    const notifications = rows.slice(0, limit).filter(({ upto }) => upto <= maxBytes);
    const last = notifications.at(-1);
    const nextBefore = rows.length > notifications.length ? (last?.id ?? null) : null;
    const bytes = (last ?? rows[0])?.upto ?? 0;
    return { notifications, bytes, nextBefore, unread, unseen, cursor };
  };
}

/** A row that does not fit has only `pageId` and `upto`. */
interface ListRow extends Notification {
  pageId: bigint;
  /** The bytes of all rows up to and including this one. */
  upto: number;
}
