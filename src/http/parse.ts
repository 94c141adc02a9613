import type { z } from "zod";
import { Problem } from "./problem.ts";

/** What a client sent, as the schema reads it. Throws Problem 400, which says which field is wrong and how, never what was sent. */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  throw new Problem(400, "request_invalid", issues.join("; "));
}
