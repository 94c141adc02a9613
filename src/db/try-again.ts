import { sqlStateOf } from "./away.ts";

/** Refused only because of what others did at the same time: serialization failure, deadlock. Nothing of it was done. */
const TRY_AGAIN = new Set(["40001", "40P01"]);

/** A fifth failure is for whoever asked. */
const MOST_RETRIES = 4;

/** The same answer, asked for again where two were in each other's way: a single statement, or a whole transaction. */
export async function tryAgain<T>(ask: () => Promise<T>): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await ask();
    } catch (err) {
      if (!TRY_AGAIN.has(sqlStateOf(err) ?? "") || retry === MOST_RETRIES) throw err;
      // 20 ms, 40 ms, 80 ms, 160 ms at the most, so that the two do not meet again.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** retry));
    }
  }
}
