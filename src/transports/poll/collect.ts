import { type Cursor, parseCursor } from "../../changes/cursor.ts";
import type { Reservation } from "../../db/bytes-in-flight.ts";
import type { Replays } from "../../db/replays.ts";
import type { FindStanding, Standing } from "../../db/revocations.ts";
import type { AnswerLimits } from "../../http/answer.ts";
import { type Identity, tokenInvalid } from "../../http/auth/verify-token.ts";
import type { NotificationEncoder } from "../../http/notification-json.ts";
import { unavailable } from "../../http/problem.ts";
import { follow } from "../../hub/follow.ts";
import type { Hub } from "../../hub/hub.ts";
import { createPollAnswer } from "./answer.ts";

export interface CollectOptions {
  hub: Hub;
  read: Replays;
  replayLimit: number;
  encoder: NotificationEncoder;
  bytesInFlight: AnswerLimits["bytesInFlight"];
  findStanding: FindStanding;
  openReservation: (onWait: () => void) => Reservation;
  identity: Identity;
  admitted: Standing;
  since: string | undefined;
  position: Cursor;
  waitMs: number;
}

/** Follows like a stream until `close`. `answer` resolves when `createPolls` says that a poll is answered. */
export function collect(options: CollectOptions) {
  const { identity, admitted, since, position, waitMs, bytesInFlight, findStanding } = options;
  const { hub, read, replayLimit, openReservation } = options;
  const content = createPollAnswer(options.encoder, position);
  const { promise: answer, resolve, reject } = withResolvers<string>();
  let isDue = waitMs === 0;
  let hasCaughtUp = false;
  /** Holds the bytes of the page that was read last. */
  let reservation: Reservation | undefined;
  let timer: NodeJS.Timeout | undefined;
  /** The answer waits for this. It rejects if the token was revoked. */
  let checked: Promise<unknown> = Promise.resolve();

  /** Resolves in a later microtask, so that the answer also has the other events of this turn. */
  const give = () => void checked.then(() => resolve(content.encode()), reject);

  /** A poll that has events is answered instead of waiting for memory for more. */
  function giveWhatThereIs(): void {
    if (!content.isEmpty()) give();
  }

  function answerNow(): void {
    isDue = true;
    if (hasCaughtUp) give();
  }

  const follower = follow({
    hub,
    recipientId: identity.recipientId,
    since: since === undefined ? "now" : (parseCursor(since) ?? "unknown"),
    position,
    replayLimit,
    source: {
      read(from) {
        reservation = openReservation(giveWhatThereIs);
        return read(from, reservation);
      },
    },
    sink: {
      ready: content.ready,
      send(event, isLive) {
        content.add(event);
        if (isLive || content.isFull()) give();
        return !content.isFull();
      },
      reset(...args) {
        content.reset(...args);
        give();
      },
      caughtUp() {
        hasCaughtUp = true;
        if (isDue || !content.isEmpty()) give();
        else timer ??= setTimeout(answerNow, waitMs);
      },
      checkToken() {
        checked = findStanding(identity, admitted).then(({ isRefused }) => {
          if (isRefused) throw tokenInvalid();
        });
        checked.catch(reject);
      },
      async drained() {
        // The answer has nothing of the page: the poll came without `since`, or gets a reset.
        if (reservation && content.isEmpty()) bytesInFlight.resize(reservation, 0);
      },
      fail: (cause) => reject(unavailable(cause)),
    },
  });

  return {
    answer,
    answerNow,
    close(): void {
      clearTimeout(timer);
      follower.close();
    },
  };
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function withResolvers<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<T>((...settle) => {
    [resolve, reject] = settle;
  });
  return { promise, resolve, reject };
}
