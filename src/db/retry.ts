import { sqlStateOf } from "./unavailable.ts";

/** Refused only because of what others did at the same time: serialization failure, deadlock. Nothing of it was done. */
const CONFLICTS = new Set(["40001", "40P01"]);

/** A fifth failure is for whoever asked. */
const MOST_RETRIES = 4;

/** The same answer, asked for again where two were in each other's way: a single statement, or a whole transaction. */
export async function retryConflicts<T>(ask: () => Promise<T>): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await ask();
    } catch (err) {
      if (!CONFLICTS.has(sqlStateOf(err) ?? "") || retry === MOST_RETRIES) throw err;
      // 20 ms, 40 ms, 80 ms, 160 ms at the most, so that the two do not meet again.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** retry));
    }
  }
}
