import { z } from "zod";
import { parseCursor } from "../changes/cursor.ts";

/** The schemas of what a client sends. Routes parse requests with them, and `/openapi.json` is made from them. */

/** A PostgreSQL bigint that is not negative. */
export const Id = z
  .string()
  .regex(/^[0-9]{1,19}$/, "Expected an id: digits, as a string")
  .transform(BigInt)
  .refine((id) => id < 2n ** 63n, "Expected an id below 2^63")
  .meta({ description: "A notification's id.", examples: ["4711"] });

/** PostgreSQL's text type cannot hold U+0000. */
const Type = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\0]*$/, "A type must not contain U+0000")
  .meta({ description: "A notification's type.", examples: ["message.received"] });

export const MAX_LIMIT = 100;
export const MAX_WAIT_SECONDS = 30;

export const ListQuery = z.strictObject({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .default(20)
    .describe(`Page size; a value above ${MAX_LIMIT} counts as ${MAX_LIMIT}.`),
  before: Id.optional().describe("Only smaller ids: pass `nextBefore` of the previous page."),
  filter: z
    .enum(["all", "unread", "archived"])
    .default("all")
    .describe("`all`: everything that is not archived."),
  type: Type.optional().describe("Only notifications of this type."),
});

/** Accepts anything: a stream answers an unknown cursor with `reset`, and ignores other parameters. */
export const StreamQuery = z.looseObject({
  lastEventId: z
    .string()
    .optional()
    .describe(
      "Where to resume: the `cursor` of a list or poll. If it is given several times, the last one counts.",
    ),
  last_event_id: z.string().optional().describe("The same as `lastEventId`."),
  ticket: z.string().optional().describe("A ticket instead of a token."),
});

export const PollQuery = z.strictObject({
  since: z
    .string()
    .optional()
    .describe("A cursor: of the list, of a poll, or the id of an event. Without it: from now on."),
  wait: z.coerce
    .number()
    .min(0)
    .default(0)
    .describe(
      `How many seconds the response may wait for something new; a value above ${MAX_WAIT_SECONDS} counts as ${MAX_WAIT_SECONDS}.`,
    ),
});

export const Marks = z.strictObject({
  read: z.boolean().optional().describe("Marking as read also marks as seen."),
  seen: z.boolean().optional(),
  archived: z.boolean().optional(),
});

/** A cursor that a client sends back, parsed. */
const Position = z
  .string()
  .transform((text, context) => {
    const cursor = parseCursor(text);
    if (cursor) return cursor;
    context.issues.push({ code: "custom", message: "Expected a cursor", input: text });
    return z.NEVER;
  })
  .describe(
    "Marks only what the list with this cursor could contain. `before` alone also marks notifications that the client never saw, because a smaller id can be committed later.",
  );

export const MarkAll = z.strictObject({
  before: Id.optional().describe(
    "Marks ids up to and including this one, so that newer notifications stay unread.",
  ),
  cursor: Position.optional(),
  type: Type.optional().describe("Marks only this type."),
});

export const Preferences = z.strictObject({
  mutedTypes: z.array(Type).max(200).describe("No notifications of these types are created."),
});
