/** A row of `bellwire.notifications`, as every part of the service passes it on. */
export interface Notification {
  readonly id: bigint;
  readonly recipientId: string;
  readonly type: string;
  readonly actorId: string | null;
  readonly title: string | null;
  readonly body: string | null;
  readonly link: string | null;
  readonly data: unknown;
  readonly createdAt: Date;
  readonly seenAt: Date | null;
  readonly readAt: Date | null;
  readonly archivedAt: Date | null;
}

/** A recipient's badge: unread is not read and not archived; unseen, not seen either. */
export interface Counts {
  readonly unread: number;
  readonly unseen: number;
}
