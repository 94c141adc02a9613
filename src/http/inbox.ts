import { json, Router } from "express";
import { z } from "zod";
import { type Cursor, encodeCursor } from "../db/cursor.ts";
import type { Inbox } from "../db/inbox.ts";
import { recipientOf } from "./identify.ts";
import { notificationJson } from "./notification-json.ts";
import { parse } from "./parse.ts";
import { Problem } from "./problem.ts";

/** What fits a Postgres bigint. */
const Id = z
  .string()
  .regex(/^[0-9]{1,19}$/)
  .transform(BigInt)
  .refine((id) => id < 2n ** 63n);

/** PostgreSQL's text cannot hold U+0000. */
const Type = z
  .string()
  .min(1)
  .max(200)
  .refine((value) => !value.includes("\0"), "U+0000 is in no type");

const ListQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).default(20),
  before: Id.optional(),
  filter: z.enum(["all", "unread", "archived"]).default("all"),
  type: Type.optional(),
});
const Marks = z.strictObject({
  read: z.boolean().optional(),
  seen: z.boolean().optional(),
  archived: z.boolean().optional(),
});
const MarkAll = z.strictObject({
  before: Id.optional(),
  type: Type.optional(),
});

const MAX_LIMIT = 100;

/** The inbox of whoever asks; behind `identify`. */
export function inboxRoutes({
  inbox,
  position,
}: {
  inbox: Inbox;
  position: () => Cursor | undefined;
}) {
  const router = Router();
  router.use(json({ limit: "16kb" }));

  router.get("/", async (req, res) => {
    const { limit, filter, ...query } = parse(ListQuery, req.query);
    const start = position();
    if (!start) throw notReady();
    const list = await inbox.list({
      ...query,
      recipientId: recipientOf(res),
      limit: Math.min(limit, MAX_LIMIT),
      filter: filter === "all" ? undefined : filter,
      position: start,
    });
    res.json({
      notifications: list.notifications.map(notificationJson),
      nextBefore: list.nextBefore?.toString() ?? null,
      unread: list.unread,
      unseen: list.unseen,
      cursor: encodeCursor(list.cursor),
    });
  });

  router.get("/unread-count", async (_req, res) => {
    const { unread, unseen } = await inbox.counts(recipientOf(res));
    res.json({ count: unread, unseen });
  });

  router.patch("/:id", async (req, res) => {
    const id = parse(Id, req.params.id);
    const notification = await inbox.mark(recipientOf(res), id, parse(Marks, req.body));
    if (!notification)
      throw new Problem(404, "notification_unknown", "You have no such notification.");
    res.json(notificationJson(notification));
  });

  router.post("/mark-all-read", async (req, res) => {
    const { before, type } = parse(MarkAll, req.body ?? {});
    res.json({ changed: await inbox.markAllRead(recipientOf(res), before, type) });
  });

  return router;
}

const notReady = () =>
  new Problem(503, "not_ready", "The database does not answer. Try again.", {
    headers: { "Retry-After": "2" },
  });
