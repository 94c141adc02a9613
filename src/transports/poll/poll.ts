import type { RequestHandler } from "express";
import { type Leave, type Limits, overloaded, tooManyStreams } from "../../connections/limits.ts";
import type { RollCall } from "../../connections/roll-call.ts";
import type { Replays } from "../../db/replays.ts";
import type { FindStanding } from "../../db/revocations.ts";
import { type AnswerRoom, noRoom, openAnswer } from "../../http/answer.ts";
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
  answers: AnswerRoom;
  limits: Limits;
  rollCall: RollCall;
  findStanding: FindStanding;
}

/**
 * `GET /poll`, the stream's fallback: the same follower on the same cursor, and what it sends is one answer. Behind
 * `identify`. Without `wait` the answer is given when all there was has been read; with it, when there is something, or
 * at the end of that time. `close` has all that wait answered.
 */
export function createPolls(options: PollOptions) {
  const { limits, rollCall, answers, ...following } = options;
  const waiting = new Set<{ recipientId: string; answerNow: () => void }>();
  let isClosed = false;

  /** One of the recipient's places and one of all. Throws Problem where one of them cannot be had. */
  async function takePlaces(recipientId: string): Promise<Leave> {
    const leaveRecipient = await rollCall.takePlace(recipientId);
    if (!leaveRecipient) throw tooManyStreams();
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
    // As on the stream the last counts.
    const { since, wait } = parse(PollQuery, { ...req.query, since: lastOf(req.query.since) });
    const identity = identityOf(res);
    const start = positionOf(res);
    if (!start) throw unavailable();
    const { recipientId } = identity;
    const leave = await takePlaces(recipientId);
    const answer = openAnswer(res, answers);
    if (!answer) return leave();
    // Until its client has the answer: so long it holds its bytes.
    res.on("close", leave);
    const waitMs = isClosed ? 0 : waitLimitMs(identity, wait);
    const poll = collect({
      ...following,
      room: answers.room,
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
      if (answer.hasWaitedTooLong()) throw noRoom();
      // Whoever has left while it waited for room is told nothing.
      if (!res.destroyed) throw err;
    } finally {
      poll.close();
      waiting.delete(entry);
    }
  };

  // Once: a client that is there polls again, and has its place, before anybody is told that there is none.
  rollCall.add({
    times: 1,
    call(isCalled) {
      for (const { recipientId, answerNow } of waiting) if (isCalled(recipientId)) answerNow();
    },
  });

  return {
    route,
    /** How many are not answered yet. */
    size: () => waiting.size,
    close() {
      isClosed = true;
      for (const { answerNow } of waiting) answerNow();
    },
  };
}

/** No longer than the token is good. */
function waitLimitMs({ expiresAt }: Identity, waitSeconds: number): number {
  const seconds = Math.min(waitSeconds, MAX_WAIT_SECONDS);
  return Math.max(0, Math.min(seconds * 1000, expiresAt.getTime() - Date.now()));
}
