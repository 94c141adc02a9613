import { type Response, Router } from "express";
import { encodeCursor } from "../changes/cursor.ts";
import type { Inbox } from "../db/inbox.ts";
import { type AnswerLimits, createAnswer } from "../http/answer.ts";
import { positionOf, recipientOf } from "../http/auth/identify.ts";
import {
  encodeAnswer,
  encodeInParts,
  type NotificationEncoder,
} from "../http/notification-json.ts";
import { parse } from "../http/parse.ts";
import { Problem, unavailable } from "../http/problem.ts";
import { Id, ListQuery, MAX_LIMIT, MarkAll, Marks, Preferences } from "../http/request-schemas.ts";
import type { ListJson } from "../http/response-schemas.ts";

/** Maximum bytes of a list, unless its first notification alone is larger. */
const LIST_BYTES = 1_048_576;

/** The routes of the inbox. Mount them after `identify`. */
export function inboxRoutes(inbox: Inbox, encoder: NotificationEncoder, answers: AnswerLimits) {
  /** Reserves the bytes for this notification's response. Undefined if the client has left. */
  async function answerWith(res: Response, id: bigint, as: "whole" | "marked") {
    const bytes = await inbox.sizeOf(recipientOf(res), id, as);
    if (bytes === undefined) throw unknown();
    const answer = createAnswer(res, answers);
    return (await answer?.reserve(answer.openReservation(), bytes)) ? answer : undefined;
  }

  const router = Router();
  router.get("/", async (req, res) => {
    const { limit, ...query } = parse(ListQuery, req.query);
    const position = positionOf(res);
    if (!position) throw unavailable();
    const answer = createAnswer(res, answers);
    const reservation = answer?.openReservation();
    const read = (maxBytes: number) =>
      inbox.list({
        ...query,
        recipientId: recipientOf(res),
        limit: Math.min(limit, MAX_LIMIT),
        maxBytes,
        position,
      });
    if (!answer || !reservation || !(await answer.reserve(reservation, LIST_BYTES))) return;
    let list = await read(LIST_BYTES);
    // The newest notification alone is larger. Hold nothing while waiting for its size. A still larger one may arrive meanwhile.
    while (list.bytes > reservation.bytes) {
      const { bytes } = list;
      answers.bytesInFlight.resize(reservation, 0);
      if (!(await answer.reserve(reservation, bytes))) return;
      list = await read(bytes);
    }
    answers.bytesInFlight.resize(reservation, list.bytes);
    const rest: Omit<ListJson, "notifications"> = {
      nextBefore: list.nextBefore?.toString() ?? null,
      unread: list.unread,
      unseen: list.unseen,
      cursor: encodeCursor(list.cursor),
    };
    answer.send(encodeAnswer(await encodeInParts(list.notifications, encoder), rest));
  });

  router.get("/unread-count", async (_req, res) => {
    const { unread, unseen } = await inbox.counts(recipientOf(res));
    res.json({ count: unread, unseen });
  });

  router.patch("/:id", async (req, res) => {
    const id = parse(Id, req.params.id);
    const marks = parse(Marks, req.body);
    const answer = await answerWith(res, id, "marked");
    if (!answer) return;
    const notification = await inbox.mark(recipientOf(res), id, marks);
    if (!notification) throw unknown();
    answer.send(encoder.encode(notification));
  });

  for (const as of ["read", "seen"] as const)
    router.post(`/mark-all-${as}`, async (req, res) => {
      const { body = {} } = req;
      const changed = await inbox.markAll(as, recipientOf(res), parse(MarkAll, body));
      if (changed === null)
        throw new Problem(
          "request_invalid",
          "cursor: The database was restored or failed over since; fetch the list again",
        );
      res.json({ changed });
    });

  router.get("/preferences", async (_req, res) => {
    res.json({ mutedTypes: await inbox.mutedTypes(recipientOf(res)) });
  });

  router.put("/preferences", async (req, res) => {
    const { mutedTypes } = parse(Preferences, req.body);
    res.json({ mutedTypes: await inbox.muteTypes(recipientOf(res), mutedTypes) });
  });

  // Last, because `:id` would match the other paths.
  router.get("/:id", async (req, res) => {
    const id = parse(Id, req.params.id);
    const answer = await answerWith(res, id, "whole");
    if (!answer) return;
    const notification = await inbox.find(recipientOf(res), id);
    if (!notification) throw unknown();
    answer.send(encoder.encodeWhole(notification));
  });

  return router;
}

const unknown = () => new Problem("notification_unknown", "You have no such notification.");
