import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { batch } from "../../src/db/batch.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A batched function; the test answers its calls. */
function start(limits: { maxConcurrent: number; maxItems: number }) {
  const calls: { items: readonly number[]; answer: () => void; fail: (err: Error) => void }[] = [];
  const double = batch({
    ...limits,
    isArgumentError: (err) => err instanceof RangeError,
    call: (items: readonly number[]) =>
      new Promise<number[]>((resolve, fail) => {
        calls.push({ items, answer: () => resolve(items.map((item) => item * 2)), fail });
      }),
  });
  return { calls, double };
}

const soon = () => vi.advanceTimersByTimeAsync(1);

test("a lone item is answered at once, and items of one turn of the event loop share a call", async () => {
  const { calls, double } = start({ maxConcurrent: 2, maxItems: 10 });
  const lone = double(1);
  await soon();
  calls[0]?.answer();
  expect(await lone).toBe(2);
  const both = Promise.all([double(2), double(3)]);
  await soon();
  expect(calls[1]?.items).toEqual([2, 3]);
  calls[1]?.answer();
  expect(await both).toEqual([4, 6]);
});

test("calls stay within maxConcurrent and maxItems, and no waiting item is forgotten", async () => {
  const { calls, double } = start({ maxConcurrent: 2, maxItems: 3 });
  const all = Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(double));
  await soon();
  expect(calls.map(({ items }) => items)).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  calls[1]?.answer();
  await soon();
  expect(calls[2]?.items).toEqual([7, 8]);
  calls[0]?.answer();
  calls[2]?.answer();
  expect(await all).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
});

test("ten thousand items in three seconds share fewer than a hundred calls, and none waits for more than 70 ms", async () => {
  const { calls, double } = start({ maxConcurrent: 4, maxItems: 500 });
  let answered = 0;
  let longest = 0;
  let asked = 0;
  for (let ms = 0; ms < 3100; ms++) {
    for (; asked < 10_000 && asked < ((ms + 1) * 10_000) / 3000; asked++) {
      const at = performance.now();
      void double(asked).then(() => {
        answered++;
        longest = Math.max(longest, performance.now() - at);
      });
    }
    await vi.advanceTimersByTimeAsync(1);
    for (const { answer } of calls.slice(-4)) answer();
  }
  await soon();
  expect(answered).toBe(asked);
  expect(calls.length).toBeLessThan(100);
  expect(longest).toBeLessThanOrEqual(70);
});

test("items that come alone never wait, two hundred a second", async () => {
  const { calls, double } = start({ maxConcurrent: 2, maxItems: 10 });
  for (let i = 1; i <= 1000; i++) {
    const asked = double(i);
    await vi.advanceTimersByTimeAsync(5);
    expect(calls.length).toBe(i);
    calls.at(-1)?.answer();
    expect(await asked).toBe(2 * i);
  }
});

test("a failed call fails for the items that shared it, and for no others", async () => {
  const { calls, double } = start({ maxConcurrent: 1, maxItems: 2 });
  const [first, second, third] = [double(1), double(2), double(3)];
  const failures = Promise.allSettled([first, second]);
  await soon();
  calls[0]?.fail(new Error("away"));
  expect((await failures).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await soon();
  calls[1]?.answer();
  expect(await third).toBe(6);
});

test("an item that makes a call fail fails alone, and costs a few calls in that call's place", async () => {
  let calls = 0;
  let running = 0;
  const double = batch({
    maxConcurrent: 1,
    maxItems: 500,
    isArgumentError: (err) => err instanceof RangeError,
    async call(items: readonly number[]) {
      calls++;
      expect(++running).toBe(1);
      await Promise.resolve();
      running--;
      if (items.some((item) => item < 0)) throw new RangeError("below zero");
      return items.map((item) => item * 2);
    },
  });
  const items = Array.from({ length: 500 }, (_, i) => (i % 250 === 100 ? -i : i));
  const answers = Promise.allSettled(items.map(double));
  await soon();
  for (const [i, answer] of (await answers).entries())
    if (i % 250 === 100) expect(answer).toMatchObject({ reason: { message: "below zero" } });
    else expect(answer).toMatchObject({ value: i * 2 });
  expect(calls).toBeLessThan(40);
});
