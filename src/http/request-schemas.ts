import { z } from "zod";
import { parseCursor } from "../changes/cursor.ts";

/** What a client sends. Routes read it with these schemas, and `/openapi.json` is made from them. */

/** What fits a Postgres bigint. */
export const Id = z
  .string()
  .regex(/^[0-9]{1,19}$/, "Expected an id: digits, as a string")
  .transform(BigInt)
  .refine((id) => id < 2n ** 63n, "No id is so large")
  .meta({ description: "A notification's id.", examples: ["4711"] });

/** PostgreSQL's text cannot hold U+0000. */
const Type = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\0]*$/, "U+0000 is in no type")
  .meta({ description: "A notification's type.", examples: ["message.received"] });

export const MAX_LIMIT = 100;
export const MAX_WAIT_SECONDS = 30;

export const ListQuery = z.strictObject({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .default(20)
    .describe(`How many at the most; more than ${MAX_LIMIT} are ${MAX_LIMIT}.`),
  before: Id.optional().describe("Only older ones: `nextBefore` of the page before."),
  filter: z
    .enum(["all", "unread", "archived"])
    .default("all")
    .describe("`all` is what is not archived."),
  type: Type.optional().describe("Only of this type."),
});

/** Anything is taken for it: what is no cursor gets a `reset`, and other parameters are not looked at. */
export const StreamQuery = z.looseObject({
  lastEventId: z
    .string()
    .optional()
    .describe("Where to resume: the `cursor` of a list or poll. Of several the last counts."),
  last_event_id: z.string().optional().describe("The same."),
  ticket: z.string().optional().describe("A ticket, in the place of a token."),
});

export const PollQuery = z.strictObject({
  since: z
    .string()
    .optional()
    .describe("A cursor: of the list, of a poll, or any event's id. Unset: from now."),
  wait: z.coerce
    .number()
    .min(0)
    .default(0)
    .describe(
      `For how many seconds the answer may wait until there is something; more than ${MAX_WAIT_SECONDS} are ${MAX_WAIT_SECONDS}.`,
    ),
});

export const Marks = z.strictObject({
  read: z.boolean().optional().describe("Read is also seen."),
  seen: z.boolean().optional(),
  archived: z.boolean().optional(),
});

/** A position that somebody gives back, read. */
const Position = z
  .string()
  .transform((text, context) => {
    const cursor = parseCursor(text);
    if (cursor) return cursor;
    context.issues.push({ code: "custom", message: "Expected a list's `cursor`", input: text });
    return z.NEVER;
  })
  .describe(
    "Of the list: only what that had. With `before` alone one that is committed late, with a smaller id, is marked unseen.",
  );

export const MarkAll = z.strictObject({
  before: Id.optional().describe("Up to and including this one: what has just come stays."),
  cursor: Position.optional(),
  type: Type.optional().describe("Only of this type."),
});

export const Preferences = z.strictObject({
  mutedTypes: z.array(Type).max(200).describe("Types of which no notification is made."),
});
