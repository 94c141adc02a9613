import type { z } from "zod";
import { Problem } from "./problem.ts";

/** What a client sent, as the schema reads it. Throws Problem 400, which says which field is wrong and how, never what was sent. */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ code, path, message }) => {
    // zod's own text names the field, and a name can hold anything.
    const text = code === "unrecognized_keys" ? "There is an unknown field" : message;
    return path.length === 0 ? text : `${path.join(".")}: ${text}`;
  });
  throw new Problem("request_invalid", issues.join("; "));
}

/** Of a parameter that stands more than once in an address, the last. */
export const lastOf = (value: unknown): unknown => (Array.isArray(value) ? value.at(-1) : value);
