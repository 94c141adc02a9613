/** A row of `bellwire.notifications`, in the form that all parts of the service use. */
export interface Notification {
  readonly id: bigint;
  readonly recipientId: string;
  readonly type: string;
  readonly actorId: string | null;
  readonly title: string | null;
  readonly body: string | null;
  readonly link: string | null;
  /** JSON as PostgreSQL prints it. The service never parses it. */
  readonly data: string;
  /** A text was shortened or `data` was left out, so the table has more. */
  readonly isCut: boolean;
  /** All times are texts that `bellwire.wire_time()` wrote. */
  readonly createdAt: string;
  readonly seenAt: string | null;
  readonly readAt: string | null;
  readonly archivedAt: string | null;
}

/** A recipient's badge. Unread: neither read nor archived. Unseen: unread, and not seen either. */
export interface Counts {
  readonly unread: number;
  readonly unseen: number;
}

/** The database cuts a text of more bytes than this to as many characters, because one event cannot hold more. Null: no limit. */
export const cutAtOf = (maxEventBytes: number): number | null =>
  Number.isFinite(maxEventBytes) ? maxEventBytes : null;
