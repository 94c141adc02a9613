import { type Cursor, encodeCursor } from "../../changes/cursor.ts";
import {
  allJson,
  changeJson,
  encodeAnswer,
  type NotificationEncoder,
  removedJson,
} from "../../http/notification-json.ts";
import type { PollJson } from "../../http/response-schemas.ts";
import type { RecipientEvent } from "../../hub/events.ts";
import type { Sink } from "../../hub/follow.ts";

/** Once an answer has this many characters, the next poll gets the rest. */
const MAX_LENGTH = 1_000_000;

/** About how many characters one changed row has, and the id of one removed row. */
const CHANGE_LENGTH = 120;
const ID_LENGTH = 10;

/** The answer to one poll. Events are added in the order in which a stream would send them. It has no timer and no connection. */
export function createPollAnswer(encoder: NotificationEncoder, position: Cursor) {
  /** Encoded notifications by id. */
  const notifications = new Map<string, string>();
  const rest: Omit<PollJson, "notifications"> = {
    all: null,
    changes: [],
    removed: [],
    unread: 0,
    unseen: 0,
    cursor: encodeCursor(position),
    reset: null,
  };
  let length = 0;
  let isFull = false;

  function addState({ all, changes, removed }: Extract<RecipientEvent, { kind: "state" }>): void {
    if (all) {
      rest.all = allJson(all);
      length += CHANGE_LENGTH;
    }
    // The client applies `removed` first. So what an earlier read gave of these notifications must be taken out again.
    const gone = new Set(removedJson(removed));
    if (gone.size > 0) {
      for (const id of gone) notifications.delete(id);
      rest.changes = rest.changes.filter(({ id }) => !gone.has(id));
      rest.removed = [...new Set([...rest.removed, ...gone])];
    }
    rest.changes.push(...changes.map(changeJson));
    length += changes.length * CHANGE_LENGTH + removed.length * ID_LENGTH;
  }

  return {
    isEmpty: () => length === 0,

    /** Further events belong to the next poll. */
    isFull: () => isFull,

    ready(...[{ unread, unseen }, resumeAt]: Parameters<Sink["ready"]>): void {
      Object.assign(rest, { unread, unseen });
      if (resumeAt !== "unknown") rest.cursor = encodeCursor(resumeAt);
    },

    add(event: RecipientEvent): void {
      // A client applies a mark-all before the rest of the answer. So nothing may have been added before it.
      isFull ||= event.kind === "state" && event.all !== undefined && length > 0;
      if (isFull) return;
      Object.assign(rest, { ...event.counts, cursor: encodeCursor(event.cursor) });
      if (event.kind === "state") addState(event);
      else {
        const notification = encoder.encode(event.change);
        notifications.set(event.change.id.toString(), notification);
        length += notification.length;
      }
      isFull = length > MAX_LENGTH;
    },

    reset(...[reason, { unread, unseen }, at]: Parameters<Sink["reset"]>): void {
      Object.assign(rest, { reset: reason, unread, unseen, cursor: encodeCursor(at) });
    },

    encode: (): string => encodeAnswer([...notifications.values()], rest),
  };
}
