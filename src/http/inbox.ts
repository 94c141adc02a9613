import { Router } from "express";
import { encodeCursor } from "../db/cursor.ts";
import type { Inbox } from "../db/inbox.ts";
import { positionOf, recipientOf } from "./identify.ts";
import { encodeAnswer, type NotificationEncoder } from "./notification-json.ts";
import { parse } from "./parse.ts";
import { Problem, unavailable } from "./problem.ts";
import { Id, type ListJson, ListQuery, MAX_LIMIT, MarkAll, Marks, Preferences } from "./schemas.ts";

/** The inbox of whoever asks; behind `identify`. */
export function inboxRoutes(inbox: Inbox, encoder: NotificationEncoder) {
  const router = Router();
  router.get("/", async (req, res) => {
    const { limit, ...query } = parse(ListQuery, req.query);
    const position = positionOf(res);
    if (!position) throw unavailable();
    const list = await inbox.list({
      ...query,
      recipientId: recipientOf(res),
      limit: Math.min(limit, MAX_LIMIT),
      position,
    });
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
    const notification = await inbox.mark(recipientOf(res), id, parse(Marks, req.body));
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
    const notification = await inbox.find(recipientOf(res), parse(Id, req.params.id));
    if (!notification) throw unknown();
    res.type("json").send(encoder.encodeWhole(notification));
  });

  return router;
}

const unknown = () => new Problem("notification_unknown", "You have no such notification.");
