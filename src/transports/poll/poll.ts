import type { RequestHandler } from "express";
import { type Leave, type Limits, overloaded, tooManyStreams } from "../../connections/limits.ts";
import type { RollCall } from "../../connections/roll-call.ts";
import type { Replays } from "../../db/replays.ts";
import type { FindStanding } from "../../db/revocations.ts";
import { type AnswerLimits, createAnswer, tooManyUnread } from "../../http/answer.ts";
import { identityOf, positionOf, standingOf } from "../../http/auth/identify.ts";
import type { Identity } from "../../http/auth/verify-token.ts";
import type { NotificationEncoder } from "../../http/notification-json.ts";
import { lastOf, parse } from "../../http/parse.ts";
import { unavailable } from "../../http/problem.ts";
import { MAX_WAIT_SECONDS, PollQuery } from "../../http/request-schemas.ts";
import type { Hub } from "../../hub/hub.ts";
import { collect } from "./collect.ts";

export interface PollOptions {
  hub: Hub;
  read: Replays;
  replayLimit: number;
  encoder: NotificationEncoder;
  answers: AnswerLimits;
  limits: Limits;
  rollCall: RollCall;
  findStanding: FindStanding;
}

/**
 * `GET /poll`, the fallback for networks that block streams. It has the same follower and the same cursors, but all events become one
 * answer. Mount it after `identify`. Without `wait` it answers when everything has been read. With `wait` it answers at the first
 * event, or when the time is over. `close` answers all waiting polls.
 */
export function createPolls(options: PollOptions) {
  const { limits, rollCall, answers, ...following } = options;
  const waiting = new Set<{ recipientId: string; answerNow: () => void }>();
  let isClosed = false;

  /** Takes one of the recipient's places and one of the process's. Throws a Problem if none is free. */
  async function takePlaces(recipientId: string): Promise<Leave> {
    if (!(await rollCall.takePlace(recipientId))) throw tooManyStreams();
    // Wakes no request that waits for a place: the client of an answered poll polls again, and keeps its place.
    const leaveRecipient = () => limits.leavePlaceOf(recipientId);
    const leave = limits.takePlace();
    if (leave)
      return () => {
        leaveRecipient();
        leave();
      };
    leaveRecipient();
    throw overloaded();
  }

  const route: RequestHandler = async (req, res) => {
    // If `since` is given several times, the last one counts, as on the stream.
    const { since, wait } = parse(PollQuery, { ...req.query, since: lastOf(req.query.since) });
    const identity = identityOf(res);
    const start = positionOf(res);
    if (!start) throw unavailable();
    const { recipientId } = identity;
    const leave = await takePlaces(recipientId);
    const answer = createAnswer(res, answers);
    if (!answer) return leave();
    // The poll keeps its places until its client has the answer, because until then the answer is in memory.
    res.on("close", leave);
    const waitMs = isClosed ? 0 : waitLimitMs(identity, wait);
    const poll = collect({
      ...following,
      bytesInFlight: answers.bytesInFlight,
      openReservation: answer.openReservation,
      identity,
      admitted: standingOf(res),
      since,
      position: start,
      waitMs,
    });
    const { answerNow } = poll;
    const entry = { recipientId, answerNow };
    waiting.add(entry);
    if (res.destroyed) answerNow();
    res.on("close", answerNow);
    try {
      answer.send(await poll.answer);
    } catch (err) {
      if (answer.hasWaitedTooLong()) throw tooManyUnread();
      // A client that left while it waited for its bytes gets no answer.
      if (!res.destroyed) throw err;
    } finally {
      poll.close();
      waiting.delete(entry);
    }
  };

  // Once is enough: a client that is still there polls again, and gets its place back before the waiting request is refused.
  rollCall.add({
    times: 1,
    call(isCalled) {
      for (const entry of waiting) {
        if (!isCalled(entry.recipientId)) continue;
        waiting.delete(entry);
        entry.answerNow();
      }
    },
  });

  return {
    route,
    /** How many polls wait for an event. Those that are called are not counted any more. */
    size: () => waiting.size,
    close() {
      isClosed = true;
      for (const { answerNow } of waiting) answerNow();
    },
  };
}

/** How long a poll may wait, in milliseconds: no longer than its token is valid. */
function waitLimitMs({ expiresAt }: Identity, waitSeconds: number): number {
  const seconds = Math.min(waitSeconds, MAX_WAIT_SECONDS);
  return Math.max(0, Math.min(seconds * 1000, expiresAt.getTime() - Date.now()));
}
