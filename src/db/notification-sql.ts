import { Prisma } from "./generated/client.ts";

/**
 * A row as a `Notification`. A text of more than `cutAt` bytes is cut to `cutAt` characters. Times and `data` are texts, as they are
 * sent to clients, because JavaScript's own types would change them.
 */
export const columnsCutAt = (cutAt: number | null): Prisma.Sql => Prisma.sql`
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

/**
 * The bytes of such a row in a response, with 256 for its other columns. A cut text counts as `cutAt` bytes: its characters may have
 * more, but the notification's encoder cuts it again, to bytes.
 */
export const bytesCutAt = (cutAt: number | null): Prisma.Sql => Prisma.sql`
  256
    + least(octet_length(type), ${cutAt})
    + least(coalesce(octet_length(actor_id), 0), ${cutAt})
    + least(coalesce(octet_length(title), 0), ${cutAt})
    + least(coalesce(octet_length(body), 0), ${cutAt})
    + least(coalesce(octet_length(link), 0), ${cutAt})
    + least(octet_length(data::text), ${cutAt})`;
