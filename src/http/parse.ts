import type { z } from "zod";
import { Problem } from "./problem.ts";

/** Parses client input. Throws Problem `request_invalid`, which names the field and the reason, and never quotes the input. */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ code, path, message }) => {
    // zod's own text would quote the field's name, which is the client's input.
    const text = code === "unrecognized_keys" ? "There is an unknown field" : message;
    return path.length === 0 ? text : `${path.join(".")}: ${text}`;
  });
  throw new Problem("request_invalid", issues.join("; "));
}

/** The last value of a query parameter that is given several times. */
export const lastOf = (value: unknown): unknown => (Array.isArray(value) ? value.at(-1) : value);
