import { type Response, Router } from "express";
import { encodeCursor } from "../db/cursor.ts";
import type { Inbox } from "../db/inbox.ts";
import { type AnswerRoom, sharesOf } from "./answer-share.ts";
import { positionOf, recipientOf } from "./identify.ts";
import { encodeAnswer, type NotificationEncoder } from "./notification-json.ts";
import { parse } from "./parse.ts";
import { Problem, unavailable } from "./problem.ts";
import { Id, type ListJson, ListQuery, MAX_LIMIT, MarkAll, Marks, Preferences } from "./schemas.ts";

/** What a list may take; one notification may take more. */
const LIST_BYTES = 1_048_576;

/** The inbox of whoever asks; behind `identify`. */
export function inboxRoutes(inbox: Inbox, encoder: NotificationEncoder, answers: AnswerRoom) {
  const { room } = answers;

  /** Waits until there is room for this one. False where its client has gone. */
  async function takeFor(res: Response, id: bigint): Promise<boolean> {
    const bytes = await inbox.sizeOf(recipientOf(res), id);
    if (bytes === undefined) throw unknown();
    const share = sharesOf(res, answers)?.();
    return share !== undefined && (await room.take(share, bytes));
  }

  const router = Router();
  router.get("/", async (req, res) => {
    const { limit, ...query } = parse(ListQuery, req.query);
    const position = positionOf(res);
    if (!position) throw unavailable();
    const share = sharesOf(res, answers)?.();
    const read = (maxBytes: number) =>
      inbox.list({
        ...query,
        recipientId: recipientOf(res),
        limit: Math.min(limit, MAX_LIMIT),
        maxBytes,
        position,
      });
    if (!share || !(await room.take(share, LIST_BYTES))) return;
    let list = await read(LIST_BYTES);
    if (list.bytes > LIST_BYTES) {
      // The newest alone does not fit. It waits for that much, and holds nothing meanwhile.
      room.keep(share, 0);
      if (!(await room.take(share, list.bytes))) return;
      list = await read(list.bytes);
    }
    room.keep(share, list.bytes);
    const rest: Omit<ListJson, "notifications"> = {
      nextBefore: list.nextBefore?.toString() ?? null,
      unread: list.unread,
      unseen: list.unseen,
      cursor: encodeCursor(list.cursor),
    };
    res.type("json").send(encodeAnswer(list.notifications.map(encoder.encode), rest));
  });

  router.get("/unread-count", async (_req, res) => {
    const { unread, unseen } = await inbox.counts(recipientOf(res));
    res.json({ count: unread, unseen });
  });

  router.patch("/:id", async (req, res) => {
    const id = parse(Id, req.params.id);
    const marks = parse(Marks, req.body);
    if (!(await takeFor(res, id))) return;
    const notification = await inbox.mark(recipientOf(res), id, marks);
    if (!notification) throw unknown();
    res.type("json").send(encoder.encode(notification));
  });

  for (const as of ["read", "seen"] as const)
    router.post(`/mark-all-${as}`, async (req, res) => {
      const { body = {} } = req;
      const changed = await inbox.markAll(as, recipientOf(res), parse(MarkAll, body));
      if (changed === null)
        throw new Problem(
          "request_invalid",
          "cursor: It is of another history; fetch the list again",
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

  // Behind the routes that have a name.
  router.get("/:id", async (req, res) => {
    const id = parse(Id, req.params.id);
    if (!(await takeFor(res, id))) return;
    const notification = await inbox.find(recipientOf(res), id);
    if (!notification) throw unknown();
    res.type("json").send(encoder.encodeWhole(notification));
  });

  return router;
}

const unknown = () => new Problem("notification_unknown", "You have no such notification.");
