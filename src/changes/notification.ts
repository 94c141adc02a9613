/** A row of `bellwire.notifications`, as every part of the service passes it on. */
export interface Notification {
  readonly id: bigint;
  readonly recipientId: string;
  readonly type: string;
  readonly actorId: string | null;
  readonly title: string | null;
  readonly body: string | null;
  readonly link: string | null;
  /** JSON as PostgreSQL prints it; nothing here reads it. */
  readonly data: string;
  /** There is more of a text or of `data` in the table. */
  readonly isCut: boolean;
  /** As `bellwire.wire_time()` says it, and so are the others. */
  readonly createdAt: string;
  readonly seenAt: string | null;
  readonly readAt: string | null;
  readonly archivedAt: string | null;
}

/** A recipient's badge: unread is not read and not archived; unseen, not seen either. */
export interface Counts {
  readonly unread: number;
  readonly unseen: number;
}

/** What the database is told to cut texts at, before the event they are for is made; null: nowhere. */
export const cutAtOf = (maxEventBytes: number): number | null =>
  Number.isFinite(maxEventBytes) ? maxEventBytes : null;
