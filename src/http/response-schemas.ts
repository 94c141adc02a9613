import { z } from "zod";
import type { ResetReason } from "../hub/follow.ts";
import { PROBLEM_CODES } from "./problem-codes.ts";

/** What a client receives as JSON. Routes and streams have these types, and `/openapi.json` is made from them. */

const IdText = z.string().regex(/^[0-9]+$/);
const Time = z.iso.datetime();
/** A time that PostgreSQL holds, which may be none of this era. */
const StoredTime = z
  .union([
    Time,
    z.enum(["infinity", "-infinity"]),
    z.string().regex(/^(\+0\d|\+[12]\d|-00)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  ])
  .describe("RFC 3339; `infinity`; and years beyond 9999 or before 0 in ISO 8601's expanded form.");
const Count = z.int().min(0);
const Cursor = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/)
  .describe("A position: give it to the stream or to a poll, and nothing falls between.");

const State = z.strictObject({
  seenAt: StoredTime.nullable(),
  readAt: StoredTime.nullable(),
  archivedAt: StoredTime.nullable(),
});

export const NotificationJson = z.strictObject({
  id: IdText,
  type: z.string(),
  actorId: z.string().nullable().describe("Who did it, where the rule says."),
  title: z.string().nullable(),
  body: z.string().nullable(),
  link: z.string().nullable(),
  data: z
    .unknown()
    .describe(
      "Whatever JSON the rule made, digit by digit as PostgreSQL holds it; an object, if it made none.",
    ),
  createdAt: StoredTime,
  ...State.shape,
  truncated: z
    .literal(true)
    .optional()
    .describe("It was too large for an event and is cut; `GET /{id}` has the whole."),
});

export const ChangeJson = z.strictObject({ id: IdText, ...State.shape });

export const AllJson = z
  .strictObject({
    before: IdText.describe("Up to and including this id."),
    seenAt: StoredTime.describe("Where it was not seen."),
    readAt: StoredTime.optional().describe("Without it what is unread stays so."),
  })
  .describe(
    "A mark-all, for what the page holds and is neither read nor archived. Before anything else: what has come of it since follows.",
  );

export const ListJson = z.strictObject({
  notifications: z.array(NotificationJson).describe("Newest first."),
  nextBefore: IdText.nullable().describe("`before` of the next page; null on the last."),
  unread: Count,
  unseen: Count,
  cursor: Cursor,
});

const REMOVED =
  "Deleted, pruned or given to another recipient since: take them off the page, before anything new is put on it.";

const RESET_REASONS = [
  "cursor_unknown",
  "cursor_expired",
  "epoch_changed",
  "too_many",
] as const satisfies ResetReason[];

export const PollJson = z.strictObject({
  notifications: z.array(NotificationJson).describe("New since the cursor, oldest first."),
  all: AllJson.nullable(),
  changes: z.array(ChangeJson).describe("Marked since, here, in another tab or in psql."),
  removed: z.array(IdText).describe(REMOVED),
  unread: Count,
  unseen: Count,
  cursor: Cursor.describe("`since` of the next poll, or `lastEventId` of a stream."),
  reset: z
    .enum(RESET_REASONS)
    .nullable()
    .describe("Why what was missed cannot be told, if so: fetch the list again."),
});

/** The `data` of each event of the stream. */
export const EVENTS = {
  ready: z.strictObject({
    unread: Count,
    unseen: Count,
    cursor: z.string().describe("Where the stream resumes; `unknown` where a `reset` follows."),
    version: z.string(),
  }),
  notification: NotificationJson.extend({ unread: Count, unseen: Count }),
  state: z.strictObject({
    all: AllJson.optional(),
    changes: z.array(ChangeJson),
    removed: z.array(IdText).optional().describe(REMOVED),
    unread: Count,
    unseen: Count,
  }),
  reset: z.strictObject({ reason: z.enum(RESET_REASONS), unread: Count, unseen: Count }),
  ping: z.strictObject({ time: Time }),
  auth: z.strictObject({
    reason: z
      .enum(["expiring", "expired", "revoked"])
      .describe("`expiring` comes a minute before; behind the others the stream ends."),
  }),
};

export const CountsJson = z.strictObject({ count: Count.describe("The unread."), unseen: Count });

export const ChangedJson = z.strictObject({ changed: Count.describe("How many were marked.") });

export const TicketJson = z.strictObject({
  ticket: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  expiresAt: Time,
});

export const HealthJson = z.strictObject({
  status: z.enum(["ok", "unavailable"]),
  problems: z.array(z.string()).describe("What keeps the service from its work."),
  warnings: z.array(z.string()).describe("What does not, yet."),
});

export const LiveJson = z.strictObject({ status: z.literal("ok") });

export const ApiJson = z.looseObject({ openapi: z.literal("3.1.0") });

export const ProblemJson = z.strictObject({
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.int(),
  code: z.enum(PROBLEM_CODES).describe("Stable: decide by this."),
  detail: z.string().describe("What to do, for a person."),
  requestId: z.uuid().describe("The log has it too."),
});

export type NotificationJson = z.infer<typeof NotificationJson>;
export type AllJson = z.infer<typeof AllJson>;
export type ChangeJson = z.infer<typeof ChangeJson>;
export type ListJson = z.infer<typeof ListJson>;
export type PollJson = z.infer<typeof PollJson>;
export type TicketJson = z.infer<typeof TicketJson>;
export type EventName = keyof typeof EVENTS;
export type EventData<Name extends EventName> = z.infer<(typeof EVENTS)[Name]>;
