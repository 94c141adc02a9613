import pg from "pg";

/** Refused only because of what others did at the same time: serialization failure, deadlock. Nothing of it was done. */
const TRY_AGAIN = new Set(["40001", "40P01"]);

/** A fifth failure is for whoever asked. */
const MOST_RETRIES = 4;

/**
 * The same answer, asked for again where two were in each other's way. For single statements: what was done before in a
 * transaction would be missing.
 */
export async function tryAgain<T>(ask: () => Promise<T>): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await ask();
    } catch (err) {
      const code = err instanceof pg.DatabaseError ? err.code : undefined;
      if (!TRY_AGAIN.has(code ?? "") || retry === MOST_RETRIES) throw err;
      // 20 ms, 40 ms, 80 ms, 160 ms at the most, so that the two do not meet again.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** retry));
    }
  }
}
