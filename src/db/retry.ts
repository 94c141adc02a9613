import { sqlStateOf } from "./unavailable.ts";

/** Serialization failure and deadlock: concurrent transactions caused the error, and nothing was done. */
const CONFLICTS = new Set(["40001", "40P01"]);

/** The caller gets the fifth failure. */
const MAX_RETRIES = 4;

/** Runs a single statement or a whole transaction, and again after a conflict with a concurrent one. */
export async function retryConflicts<T>(work: () => Promise<T>): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await work();
    } catch (err) {
      if (!CONFLICTS.has(sqlStateOf(err) ?? "") || retry === MAX_RETRIES) throw err;
      // Random, up to 20 ms, 40 ms, 80 ms, 160 ms, so that the same two do not meet again.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** retry));
    }
  }
}
