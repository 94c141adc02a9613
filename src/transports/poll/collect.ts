import { type Cursor, encodeCursor, parseCursor } from "../../changes/cursor.ts";
import type { Reservation } from "../../db/bytes-in-flight.ts";
import type { Replays } from "../../db/replays.ts";
import type { FindStanding, Standing } from "../../db/revocations.ts";
import type { AnswerRoom } from "../../http/answer.ts";
import { type Identity, tokenInvalid } from "../../http/auth/verify-token.ts";
import {
  allJson,
  changeJson,
  encodeAnswer,
  type NotificationEncoder,
  removedJson,
} from "../../http/notification-json.ts";
import { unavailable } from "../../http/problem.ts";
import type { PollJson } from "../../http/response-schemas.ts";
import type { RecipientEvent } from "../../hub/events.ts";
import { follow } from "../../hub/follow.ts";
import type { Hub } from "../../hub/hub.ts";

/** An answer with this many characters gets no longer: the next poll has the rest. */
const MAX_ANSWER_LENGTH = 1_000_000;

/** Of one changed row, and of the id of one that was removed; about. */
const CHANGE_LENGTH = 120;
const ID_LENGTH = 10;

export interface CollectOptions {
  hub: Hub;
  read: Replays;
  replayLimit: number;
  encoder: NotificationEncoder;
  room: AnswerRoom["room"];
  findStanding: FindStanding;
  openReservation: (onWait: () => void) => Reservation;
  identity: Identity;
  admitted: Standing;
  since: string | undefined;
  position: Cursor;
  waitMs: number;
}

/** Follows, and resolves `answer` with what that gave: see `createPolls`. It follows on until `close`. */
export function collect({
  identity,
  admitted,
  since,
  position,
  waitMs,
  findStanding,
  encoder,
  read,
  openReservation,
  room,
  ...options
}: CollectOptions) {
  const { recipientId } = identity;
  /** Encoded, by their ids. */
  const notifications = new Map<string, string>();
  const poll: Omit<PollJson, "notifications"> = {
    all: null,
    changes: [],
    removed: [],
    unread: 0,
    unseen: 0,
    cursor: encodeCursor(position),
    reset: null,
  };
  let isDue = waitMs === 0;
  let hasCaughtUp = false;
  /** What comes now belongs to the next poll. */
  let isOver = false;
  let length = 0;
  /** What the last page takes. */
  let reservation: Reservation | undefined;
  let timer: NodeJS.Timeout | undefined;
  /** Until it resolves nothing is answered; it rejects where the token turns out to have been revoked. */
  let checked: Promise<unknown> = Promise.resolve();
  let resolve: (answer: string) => void;
  let reject: (problem: unknown) => void;
  const answer = new Promise<string>((...settle) => {
    [resolve, reject] = settle;
  });

  /** A moment later, so that the rest of what is sent just now comes along. */
  const give = () =>
    void checked.then(() => resolve(encodeAnswer([...notifications.values()], poll)), reject);

  /** Whoever has something does not wait for more. */
  function giveWhatThereIs() {
    if (length > 0) give();
  }

  function answerNow() {
    isDue = true;
    if (hasCaughtUp) give();
  }

  /** A client applies a mark-all before the rest of the answer, so it cannot follow what the answer has already. */
  const mustWait = (event: RecipientEvent) =>
    event.kind === "state" && event.all !== undefined && length > 0;

  function add(event: RecipientEvent) {
    Object.assign(poll, { ...event.counts, cursor: encodeCursor(event.cursor) });
    if (event.kind === "state") return addState(event);
    const notification = encoder.encode(event.change);
    notifications.set(event.change.id.toString(), notification);
    length += notification.length;
  }

  function addState({ all, changes, removed }: Extract<RecipientEvent, { kind: "state" }>) {
    if (all) {
      poll.all = allJson(all);
      length += CHANGE_LENGTH;
    }
    // The client takes off first what was removed: of what an earlier read gave, nothing may be left by then.
    const gone = new Set(removedJson(removed));
    if (gone.size > 0) {
      for (const id of gone) notifications.delete(id);
      poll.changes = poll.changes.filter(({ id }) => !gone.has(id));
      poll.removed = [...new Set([...poll.removed, ...gone])];
    }
    poll.changes.push(...changes.map(changeJson));
    length += changes.length * CHANGE_LENGTH + removed.length * ID_LENGTH;
  }

  const stop = follow({
    ...options,
    recipientId,
    read(from) {
      reservation = openReservation(giveWhatThereIs);
      return read(from, reservation);
    },
    since: since === undefined ? "now" : (parseCursor(since) ?? "unknown"),
    position,
    sink: {
      ready({ unread, unseen }, resumeAt) {
        Object.assign(poll, { unread, unseen });
        if (resumeAt !== "unknown") poll.cursor = encodeCursor(resumeAt);
      },
      send(event, isLive) {
        isOver ||= mustWait(event);
        if (!isOver) add(event);
        const isFull = length > MAX_ANSWER_LENGTH;
        if (isLive || isFull || isOver) give();
        return !isFull && !isOver;
      },
      reset(reason, { unread, unseen }, at) {
        Object.assign(poll, { reset: reason, unread, unseen, cursor: encodeCursor(at) });
        give();
      },
      caughtUp() {
        hasCaughtUp = true;
        if (isDue || length > 0) give();
        else timer ??= setTimeout(answerNow, waitMs);
      },
      checkToken() {
        checked = findStanding(identity, admitted).then(({ isRefused }) => {
          if (isRefused) throw tokenInvalid();
        });
        checked.catch(reject);
      },
      async drained() {
        // Nothing of it is in the answer: without `since`, or at a reset.
        if (reservation && length === 0) room.resize(reservation, 0);
      },
      fail: (cause) => reject(unavailable(cause)),
    },
  });

  return {
    answer,
    answerNow,
    close() {
      clearTimeout(timer);
      stop();
    },
  };
}
