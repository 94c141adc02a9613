import type { Notification } from "../db/notification.ts";

/** A notification on the wire, in the stream as in the inbox: camelCase, ids are strings, times RFC 3339. */
export const notificationJson = (notification: Notification) => ({
  id: notification.id.toString(),
  type: notification.type,
  actorId: notification.actorId,
  title: notification.title,
  body: notification.body,
  link: notification.link,
  data: notification.data,
  createdAt: notification.createdAt,
  ...stateJson(notification),
});

/** What a recipient has done with it. */
export const stateJson = ({ seenAt, readAt, archivedAt }: Notification) => ({
  seenAt,
  readAt,
  archivedAt,
});
