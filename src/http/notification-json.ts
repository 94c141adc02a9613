import type { Notification } from "../db/notification.ts";
import { encodeJson, onOneLine } from "./json-line.ts";
import type { ChangeJson } from "./schemas.ts";

/**
 * A notification on the wire, in the stream as in the inbox: camelCase, ids are strings. Text of one line, put together
 * here, for `data` goes out digit by digit as PostgreSQL holds it, and JavaScript's numbers would not.
 */
export function encodeNotification(notification: Notification): string {
  const { id, type, actorId, title, body, link, data, createdAt } = notification;
  const before = JSON.stringify({ id: id.toString(), type, actorId, title, body, link });
  const behind = JSON.stringify({ createdAt, ...stateJson(notification) });
  return onOneLine(`${before.slice(0, -1)},"data":${data},${behind.slice(1)}`);
}

/** What a list or a poll answers: notifications as they were encoded, then the rest. */
export function encodeAnswer(notifications: readonly string[], rest: object): string {
  return `{"notifications":[${notifications.join()}],${encodeJson(rest).slice(1)}`;
}

/** What a recipient has done with which. */
export const changeJson = (notification: Notification): ChangeJson => ({
  id: notification.id.toString(),
  ...stateJson(notification),
});

/** `readAt` and the others, null where it was not done. */
const stateJson = ({ seenAt, readAt, archivedAt }: Notification) => ({
  seenAt,
  readAt,
  archivedAt,
});
