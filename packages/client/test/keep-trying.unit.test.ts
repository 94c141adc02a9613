import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { Failure } from "../src/api.ts";
import { keepTrying, type Status } from "../src/keep-trying.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Fails at once for as long as `isAway` says so, and then stays. */
function start(isAway: () => boolean, retryMs = 0) {
  const attempts: number[] = [];
  const statuses: [Status, number][] = [];
  const trying = keepTrying(
    async ({ signal }) => {
      attempts.push(Date.now());
      if (isAway()) throw new Failure("away", "no answer", retryMs);
      trying.reach("live");
      return await new Promise((_, reject) => signal.addEventListener("abort", reject));
    },
    {
      onStatus: (status) => statuses.push([status, Date.now()]),
      log() {},
    },
  );
  onTestFinished(trying.close);
  return { attempts, statuses, trying };
}

const pausesOf = (attempts: readonly number[]) =>
  attempts.slice(1).map((at, i) => at - (attempts[i] as number));

test("ten minutes of outage: random pauses up to 0.5, 1, 2 … 30 s, and on at once when it is woken", async () => {
  let isAway = true;
  const pauses: number[] = [];
  for (let run = 0; run < 20; run++) {
    isAway = true;
    const from = Date.now();
    const { attempts, statuses, trying } = start(() => isAway);
    await vi.advanceTimersByTimeAsync(600_000);
    for (const [i, pause] of pausesOf(attempts).entries()) {
      expect(pause).toBeLessThanOrEqual(Math.min(30_000, 500 * 2 ** i) + 1);
      if (i >= 6) pauses.push(pause);
    }
    isAway = false;
    trying.wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(statuses).toEqual([
      ["connecting", from],
      ["offline", from + 10_000],
      ["live", from + 600_000],
    ]);
    trying.close();
  }
  // Full jitter: as many pauses in each third of the range, about.
  const thirds = [0, 1, 2].map(
    (third) => pauses.filter((pause) => Math.floor(pause / 10_001) === third).length,
  );
  for (const third of thirds) expect(third / pauses.length).toBeGreaterThan(0.25);
  expect(new Set(pauses).size).toBeGreaterThan(pauses.length * 0.9);
});

test("a pause is not shorter than what the service asks for", async () => {
  const { attempts } = start(() => true, 20_000);
  await vi.advanceTimersByTimeAsync(300_000);
  for (const pause of pausesOf(attempts)) {
    expect(pause).toBeGreaterThanOrEqual(20_000);
    expect(pause).toBeLessThanOrEqual(30_000);
  }
});
