import { vi } from "vitest";

const TICK_MS = 200;

/**
 * Sends a request for which no place is free. While it waits, the roll call's next tick comes only when `areBack` has resolved: on a
 * busy machine the clients whose polls were answered may take longer than the ticks to poll again.
 */
export async function throughRollCall<T>(
  request: () => Promise<T>,
  areBack: () => Promise<void>,
): Promise<T> {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    let isAnswered = false;
    const answer = request().finally(() => {
      isAnswered = true;
    });
    while (!isAnswered) {
      await areBack();
      vi.advanceTimersByTime(TICK_MS);
    }
    return await answer;
  } finally {
    vi.useRealTimers();
  }
}
