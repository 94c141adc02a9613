import { z } from "zod";
import type { ResetReason } from "../hub/follow.ts";
import { PROBLEM_CODES } from "./problem-codes.ts";

/** The schemas of the JSON that a client receives. Routes and streams use their types, and `/openapi.json` is made from them. */

const IdText = z.string().regex(/^[0-9]+$/);
const Time = z.iso.datetime();
/** A timestamptz of PostgreSQL, which may be infinite, after 9999 or BC. */
const StoredTime = z
  .union([
    Time,
    z.enum(["infinity", "-infinity"]),
    z.string().regex(/^(\+0\d|\+[12]\d|-00)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  ])
  .describe(
    "RFC 3339; or `infinity`, `-infinity`; or ISO 8601's expanded form for years after 9999 or before 0.",
  );
const Count = z.int().min(0);
const Cursor = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/)
  .describe("A position. Pass it to the stream or to a poll, which continue exactly there.");

const State = z.strictObject({
  seenAt: StoredTime.nullable(),
  readAt: StoredTime.nullable(),
  archivedAt: StoredTime.nullable(),
});

export const NotificationJson = z.strictObject({
  id: IdText,
  type: z.string(),
  actorId: z.string().nullable().describe("Who caused it, if the rule says so."),
  title: z.string().nullable(),
  body: z.string().nullable(),
  link: z.string().nullable(),
  data: z
    .unknown()
    .describe(
      "The JSON that the rule returned, with the digits that PostgreSQL stores; `{}` if it returned none.",
    ),
  createdAt: StoredTime,
  ...State.shape,
  truncated: z
    .literal(true)
    .optional()
    .describe(
      "The notification was too large for an event and is cut; `GET /{id}` returns all of it.",
    ),
});

export const ChangeJson = z.strictObject({ id: IdText, ...State.shape });

export const AllJson = z
  .strictObject({
    before: IdText.describe("Applies to ids up to and including this one."),
    seenAt: StoredTime.describe("For those that were not seen before."),
    readAt: StoredTime.optional().describe(
      "For all of them; if it is absent, unread notifications stay unread.",
    ),
  })
  .describe(
    "A mark-all. Apply it first, to every notification you hold that is neither read nor archived; later changes of them follow.",
  );

export const ListJson = z.strictObject({
  notifications: z.array(NotificationJson).describe("Newest first."),
  nextBefore: IdText.nullable().describe(
    "Pass it as `before` for the next page; null on the last page.",
  ),
  unread: Count,
  unseen: Count,
  cursor: Cursor,
});

const REMOVED =
  "Deleted, pruned or given to another recipient. Remove them from the page before you add anything.";

const RESET_REASONS = [
  "cursor_unknown",
  "cursor_expired",
  "epoch_changed",
  "too_many",
] as const satisfies ResetReason[];

export const PollJson = z.strictObject({
  notifications: z.array(NotificationJson).describe("New since the cursor, oldest first."),
  all: AllJson.nullable(),
  changes: z
    .array(ChangeJson)
    .describe("Marked since the cursor: through the API, in another tab or in psql."),
  removed: z.array(IdText).describe(REMOVED),
  unread: Count,
  unseen: Count,
  cursor: Cursor.describe("Pass it as `since` to the next poll, or as `lastEventId` to a stream."),
  reset: z
    .enum(RESET_REASONS)
    .nullable()
    .describe("Why missed changes cannot be reported: fetch the list again. Null if they can."),
});

/** The `data` of each event of the stream. */
export const EVENTS = {
  ready: z.strictObject({
    unread: Count,
    unseen: Count,
    cursor: z
      .string()
      .describe("Where the stream begins; `unknown` if the client sent an invalid cursor."),
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
      .describe(
        "`expiring` is sent a minute before the token expires; after the others the stream ends.",
      ),
  }),
};

export const CountsJson = z.strictObject({
  count: Count.describe("Unread notifications."),
  unseen: Count,
});

export const ChangedJson = z.strictObject({
  changed: Count.describe("How many notifications were marked."),
});

export const TicketJson = z.strictObject({
  ticket: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  expiresAt: Time,
});

export const HealthJson = z.strictObject({
  status: z.enum(["ok", "unavailable"]),
  problems: z.array(z.string()).describe("What stops the service from working."),
  warnings: z.array(z.string()).describe("What a person should look at, while the service works."),
});

export const LiveJson = z.strictObject({ status: z.literal("ok") });

export const ApiJson = z.looseObject({ openapi: z.literal("3.1.0") });

export const ProblemJson = z.strictObject({
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.int(),
  code: z.enum(PROBLEM_CODES).describe("Stable: branch on this."),
  detail: z.string().describe("What to do, for a person to read; it may change."),
  requestId: z.uuid().describe("The service's log has it too."),
});

export type NotificationJson = z.infer<typeof NotificationJson>;
export type AllJson = z.infer<typeof AllJson>;
export type ChangeJson = z.infer<typeof ChangeJson>;
export type ListJson = z.infer<typeof ListJson>;
export type PollJson = z.infer<typeof PollJson>;
export type TicketJson = z.infer<typeof TicketJson>;
export type EventName = keyof typeof EVENTS;
export type EventData<Name extends EventName> = z.infer<(typeof EVENTS)[Name]>;
