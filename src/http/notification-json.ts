import type { MarkAll, Removal } from "../changes/changes.ts";
import type { Notification } from "../changes/notification.ts";
import type { RecipientEvent } from "../hub/events.ts";
import type { Logger } from "../logger.ts";
import { encodeJson, onOneLine } from "./json-line.ts";
import type { AllJson, ChangeJson } from "./response-schemas.ts";

export interface NotificationEncoderOptions {
  /** Maximum bytes of an event; infinity: no limit. */
  maxEventBytes: number;
  log: Logger;
}

export type NotificationEncoder = ReturnType<typeof createNotificationEncoder>;

/** Bytes of an event besides its notification: its name, the counts, and an id of 128 characters. */
const FRAME_BYTES = 256;

/**
 * Encodes notifications for the wire: camelCase, ids as strings, one line. If the JSON would be too long for a JavaScript
 * string, it leaves fields out and logs the notification's id.
 */
export function createNotificationEncoder({ maxEventBytes, log }: NotificationEncoderOptions) {
  const maxBytes = maxEventBytes - FRAME_BYTES;

  function encodeWhole(notification: Notification): string {
    let err: unknown;
    for (const without of LEFT_OUT) {
      try {
        const json = encode(without ? { ...notification, ...without } : notification);
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
    /** For streams, lists and polls: cut if it is too large for an event. */
    encode(notification: Notification): string {
      const { type, title, body } = notification;
      // No JSON is shorter than its text.
      if (Math.max(type.length, title?.length ?? 0, body?.length ?? 0) > maxBytes)
        return encode(cut(notification, maxBytes));
      const json = encodeWhole(notification);
      // A UTF-16 unit is at most three bytes in UTF-8; a surrogate pair, two units, is four.
      const isSmall = json.length * 3 <= maxBytes || Buffer.byteLength(json) <= maxBytes;
      return isSmall ? json : encode(cut(notification, maxBytes));
    },
    encodeWhole,
  };
}

/** Tried one after the other until the JSON fits a JavaScript string. */
const LEFT_OUT: (Partial<Notification> | undefined)[] = [
  undefined,
  { body: null, isCut: true },
  { body: null, data: "{}", isCut: true },
  { body: null, data: "{}", title: null, link: null, actorId: null, isCut: true },
];

/** `data` is inserted as text, because JavaScript's numbers would round the digits that PostgreSQL stores. */
function encode(notification: Notification): string {
  const { id, type, actorId, title, body, link, data, isCut } = notification;
  const { createdAt, seenAt, readAt, archivedAt } = notification;
  const before = JSON.stringify({ id: id.toString(), type, actorId, title, body, link });
  const truncated = isCut ? true : undefined;
  const behind = JSON.stringify({ createdAt, seenAt, readAt, archivedAt, truncated });
  return onOneLine(`${before.slice(0, -1)},"data":${data},${behind.slice(1)}`);
}

/**
 * Keeps what fits, the most important fields first. Texts keep their beginning; other fields are whole or missing, because
 * half a link leads elsewhere and half an id is another user.
 */
function cut(notification: Notification, maxBytes: number): Notification {
  const empty = { type: "", actorId: null, link: null, title: null, data: "{}", body: null };
  let left = maxBytes - Buffer.byteLength(encode({ ...notification, ...empty, isCut: true }));

  function fits(json: string): boolean {
    const bytes = Buffer.byteLength(json);
    if (bytes > left) return false;
    left -= bytes;
    return true;
  }
  const whole = (text: string | null) => (text !== null && fits(encodeJson(text)) ? text : null);
  function beginning(text: string): string {
    const start = startOf(text, left);
    left = start.left;
    return start.text;
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
 * The longest beginning of a text whose JSON has at most this many bytes and that splits no surrogate pair, and how many bytes are
 * left. It is found in pieces that get smaller, so that each part of the text is encoded about once.
 */
function startOf(text: string, bytes: number): { text: string; left: number } {
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
  return { text: text.slice(0, end), left };
}

const QUOTES = 2;

/** A piece of `size` units, or one more if it would end within a surrogate pair. */
function pieceOf(text: string, from: number, size: number): string {
  const end = from + size;
  return text.slice(from, /^[\ud800-\udbff]/.test(text.slice(end - 1, end)) ? end + 1 : end);
}

/** So many characters are encoded in one turn of the event loop. */
const PART_LENGTH = 65_536;

/** A list of a megabyte takes several milliseconds. Other clients' events go out in between. */
export async function encodeInParts(
  notifications: readonly Notification[],
  { encode }: Pick<NotificationEncoder, "encode">,
): Promise<string[]> {
  const encoded: string[] = [];
  let length = 0;
  for (const notification of notifications) {
    const json = encode(notification);
    encoded.push(json);
    length += json.length;
    if (length < PART_LENGTH) continue;
    length = 0;
    await new Promise(setImmediate);
  }
  return encoded;
}

/** The JSON of a list or a poll: notifications that are already encoded, then the other fields. */
export function encodeAnswer(notifications: readonly string[], rest: object): string {
  return `{"notifications":[${notifications.join()}],${encodeJson(rest).slice(1)}`;
}

/** A changed notification on the wire: its id, and the three times, null if not set. */
export const changeJson = ({ id, seenAt, readAt, archivedAt }: Notification): ChangeJson => ({
  id: id.toString(),
  seenAt,
  readAt,
  archivedAt,
});

/** The data of a `state` event without its counts. */
export const stateJson = ({
  all,
  changes,
  removed,
}: Extract<RecipientEvent, { kind: "state" }>) => ({
  ...(all ? { all: allJson(all) } : {}),
  changes: changes.map(changeJson),
  ...(removed.length === 0 ? {} : { removed: removedJson(removed) }),
});

export const allJson = ({ before, seenAt, readAt }: MarkAll): AllJson => ({
  before: before.toString(),
  seenAt,
  ...(readAt === null ? {} : { readAt }),
});

/** The ids, without repeats: a recipient may have lost the same notification twice. */
export const removedJson = (removed: readonly Removal[]): string[] => [
  ...new Set(removed.map(({ id }) => id.toString())),
];
