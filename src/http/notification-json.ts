import type { Notification } from "../db/notification.ts";
import type { ChangeJson, NotificationJson } from "./schemas.ts";

/** A notification on the wire, in the stream as in the inbox: camelCase, ids are strings, times RFC 3339. */
export const notificationJson = (notification: Notification): NotificationJson => ({
  id: notification.id.toString(),
  type: notification.type,
  actorId: notification.actorId,
  title: notification.title,
  body: notification.body,
  link: notification.link,
  data: notification.data,
  createdAt: timeJson(notification.createdAt),
  ...stateJson(notification),
});

/** What a recipient has done with which. */
export const changeJson = (notification: Notification): ChangeJson => ({
  id: notification.id.toString(),
  ...stateJson(notification),
});

/** `readAt` and the others, null where it was not done. */
const stateJson = ({ seenAt, readAt, archivedAt }: Notification) => ({
  seenAt: seenAt && timeJson(seenAt),
  readAt: readAt && timeJson(readAt),
  archivedAt: archivedAt && timeJson(archivedAt),
});

/** `infinity` in a timestamptz is no Date, and becomes null. */
const timeJson = (time: Date): string => (time instanceof Date ? time : new Date(time)).toJSON();
