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

/** Longer than any pause. */
const quiet = () => vi.advanceTimersByTimeAsync(1000);

/** Asks for one item in each of these turns of the event loop, a millisecond apart; the calls are answered at once. */
async function ask({ calls, double }: ReturnType<typeof start>, items: number, everyMs: number) {
  let answered = 0;
  let longestMs = 0;
  let answeredCalls = 0;
  const answer = () => {
    for (; answeredCalls < calls.length; answeredCalls++) calls[answeredCalls]?.answer();
  };
  for (let asked = 0, ms = 0; answered < items; ms++) {
    for (; asked < items && asked * everyMs <= ms; asked++) {
      const at = performance.now();
      void double(asked).then(() => {
        answered++;
        longestMs = Math.max(longestMs, performance.now() - at);
      });
    }
    await soon();
    answer();
  }
  return longestMs;
}

test("a lone item is answered at once, and items of one turn of the event loop share a call", async () => {
  const { calls, double } = start({ maxConcurrent: 2, maxItems: 10 });
  const lone = double(1);
  await soon();
  calls[0]?.answer();
  expect(await lone).toBe(2);
  await quiet();
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
  await quiet();
  expect(calls.length).toBe(2);
  calls[1]?.answer();
  await soon();
  expect(calls[2]?.items).toEqual([7, 8]);
  calls[0]?.answer();
  calls[2]?.answer();
  expect(await all).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
});

test("items that come alone never wait, five hundred a second", async () => {
  const { calls, double } = start({ maxConcurrent: 2, maxItems: 10 });
  for (let i = 1; i <= 1000; i++) {
    const asked = double(i);
    await vi.advanceTimersByTimeAsync(2);
    expect(calls.length).toBe(i);
    calls.at(-1)?.answer();
    expect(await asked).toBe(2 * i);
  }
});

test("in a storm one call a second starts, and no item waits longer", async () => {
  const opened = start({ maxConcurrent: 2, maxItems: 10_000 });
  const longestMs = await ask(opened, 10_000, 1);
  expect(opened.calls.length).toBeLessThan(25);
  expect(longestMs).toBeLessThanOrEqual(1002);
});

test("a full call does not wait for the end of the pause", async () => {
  const opened = start({ maxConcurrent: 2, maxItems: 300 });
  const longestMs = await ask(opened, 10_000, 1);
  expect(opened.calls.length).toBeLessThan(10_000 / 300 + 15);
  expect(longestMs).toBeLessThanOrEqual(510);
});

test("an item that comes alone behind many waits at most 0.2 s", async () => {
  const { calls, double } = start({ maxConcurrent: 2, maxItems: 1000 });
  const many = Promise.all(Array.from({ length: 500 }, (_, i) => double(i)));
  await soon();
  calls[0]?.answer();
  await many;
  const last = double(7);
  await vi.advanceTimersByTimeAsync(202);
  expect(calls[1]?.items).toEqual([7]);
  calls[1]?.answer();
  expect(await last).toBe(14);
});

test("a failed call fails for the items that shared it, and for no others", async () => {
  const { calls, double } = start({ maxConcurrent: 1, maxItems: 2 });
  const [first, second, third] = [double(1), double(2), double(3)];
  const failures = Promise.allSettled([first, second]);
  await soon();
  calls[0]?.fail(new Error("away"));
  expect((await failures).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await quiet();
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
