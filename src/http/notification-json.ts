import type { MarkAll, Removal } from "../changes/changes.ts";
import type { Notification } from "../changes/notification.ts";
import type { RecipientEvent } from "../hub/events.ts";
import type { Logger } from "../logger.ts";
import { encodeJson, onOneLine } from "./json-line.ts";
import type { AllJson, ChangeJson } from "./response-schemas.ts";

export interface NotificationEncoderOptions {
  /** What an event may take; infinity: no limit. */
  maxEventBytes: number;
  log: Logger;
}

export type NotificationEncoder = ReturnType<typeof createNotificationEncoder>;

/** What an event has beside its notification: its name, the counts, and an id of 128 characters. */
const FRAME_BYTES = 256;

/**
 * A notification on the wire: camelCase, ids are strings; text of one line. Never throws: what cannot be encoded is left
 * out, and logged by the notification's id.
 */
export function createNotificationEncoder({ maxEventBytes, log }: NotificationEncoderOptions) {
  const room = maxEventBytes - FRAME_BYTES;

  function encodeWhole(notification: Notification): string {
    let err: unknown;
    for (const without of LEFT_OUT) {
      try {
        const json = encode({ ...notification, ...without });
        if (err)
          log.error({ err, notification: `${notification.id}` }, "sent without a part of it");
        return json;
      } catch (failure) {
        err = failure;
      }
    }
    throw err;
  }

  return {
    /** As streams, lists and polls have it: what is too large for an event is cut. */
    encode(notification: Notification): string {
      const json = encodeWhole(notification);
      // A character is three bytes at the most, or two of them are four.
      const isSmall = json.length * 3 <= room || Buffer.byteLength(json) <= room;
      return isSmall ? json : encode(cut(notification, room));
    },
    encodeWhole,
  };
}

/** Tried in turn where JSON gets longer than a text can be in JavaScript. */
const LEFT_OUT: Partial<Notification>[] = [
  {},
  { body: null, isCut: true },
  { body: null, data: "{}", isCut: true },
  { body: null, data: "{}", title: null, link: null, actorId: null, isCut: true },
];

/** Put together here, for `data` goes out digit by digit as PostgreSQL holds it, and JavaScript's numbers would not. */
function encode(notification: Notification): string {
  const { id, type, actorId, title, body, link, data, createdAt, isCut } = notification;
  const before = JSON.stringify({ id: id.toString(), type, actorId, title, body, link });
  const truncated = isCut ? { truncated: true } : {};
  const behind = JSON.stringify({ createdAt, ...marksJson(notification), ...truncated });
  return onOneLine(`${before.slice(0, -1)},"data":${data},${behind.slice(1)}`);
}

/**
 * What of it fits: its fields in the order of their worth, texts by their beginning, the others whole or not at all. Half a
 * link leads elsewhere, and half an id is somebody else.
 */
function cut(notification: Notification, room: number): Notification {
  const empty = { type: "", actorId: null, link: null, title: null, data: "{}", body: null };
  let left = room - Buffer.byteLength(encode({ ...notification, ...empty, isCut: true }));

  function fits(json: string): boolean {
    const bytes = Buffer.byteLength(json);
    if (bytes > left) return false;
    left -= bytes;
    return true;
  }
  const whole = (text: string | null) => (text !== null && fits(encodeJson(text)) ? text : null);
  function beginning(text: string): string {
    const found = startOf(text, left);
    left -= Buffer.byteLength(encodeJson(found));
    return found;
  }

  return {
    ...notification,
    isCut: true,
    type: beginning(notification.type),
    actorId: whole(notification.actorId),
    link: whole(notification.link),
    title: notification.title && beginning(notification.title),
    data: fits(onOneLine(notification.data)) ? notification.data : "{}",
    body: notification.body && beginning(notification.body),
  };
}

/**
 * The longest beginning of a text that takes no more bytes as JSON, and ends in no half of a surrogate pair. Found in pieces
 * that get smaller, so that the whole is encoded once.
 */
function startOf(text: string, bytes: number): string {
  let left = bytes - QUOTES;
  let end = 0;
  for (let size = 4096; size >= 1; size /= 2) {
    while (end < text.length) {
      const piece = pieceOf(text, end, size);
      const taken = Buffer.byteLength(encodeJson(piece)) - QUOTES;
      if (taken > left) break;
      left -= taken;
      end += piece.length;
    }
  }
  return text.slice(0, end);
}

const QUOTES = 2;

/** One more where the last is the first half of a surrogate pair. */
function pieceOf(text: string, from: number, size: number): string {
  const end = from + size;
  return text.slice(from, /^[\ud800-\udbff]/.test(text.slice(end - 1, end)) ? end + 1 : end);
}

/** What a list or a poll answers: notifications as they were encoded, then the rest. */
export function encodeAnswer(notifications: readonly string[], rest: object): string {
  return `{"notifications":[${notifications.join()}],${encodeJson(rest).slice(1)}`;
}

/** A changed notification: its id, and when it was seen, read and archived. */
export const changeJson = (notification: Notification): ChangeJson => ({
  id: notification.id.toString(),
  ...marksJson(notification),
});

/** `readAt` and the others, null where it was not done. */
const marksJson = ({ seenAt, readAt, archivedAt }: Notification) => ({
  seenAt,
  readAt,
  archivedAt,
});

/** What a `state` event says; most remove nothing. */
export const stateJson = ({
  all,
  changes,
  removed,
}: Extract<RecipientEvent, { kind: "state" }>) => ({
  ...(all ? { all: allJson(all) } : {}),
  changes: changes.map(changeJson),
  ...(removed.length === 0 ? {} : { removed: removedJson(removed) }),
});

/** A mark-all. */
export const allJson = ({ before, seenAt, readAt }: MarkAll): AllJson => ({
  before: before.toString(),
  seenAt,
  ...(readAt === null ? {} : { readAt }),
});

/** Somebody may have had it twice, and has it no more. */
export const removedJson = (removed: readonly Removal[]): string[] => [
  ...new Set(removed.map(({ id }) => id.toString())),
];
