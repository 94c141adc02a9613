import { Histogram, Registry } from "prom-client";
import { expect, onTestFinished, test, vi } from "vitest";
import { quantilesOf, watchLastMinute } from "../../src/metrics/last-minute.ts";

test("a quantile is interpolated within its bucket", () => {
  const buckets = [
    { le: 0.1, count: 50 },
    { le: 0.2, count: 100 },
    { le: Number.POSITIVE_INFINITY, count: 100 },
  ];
  expect(quantilesOf(buckets)).toEqual({
    count: 100,
    p50Seconds: expect.closeTo(0.1),
    p99Seconds: expect.closeTo(0.198),
  });
});

test("above the last limit it is that limit, and without observations there is none", () => {
  const slow = [
    { le: 10, count: 0 },
    { le: Number.POSITIVE_INFINITY, count: 3 },
  ];
  expect(quantilesOf(slow)).toEqual({ count: 3, p50Seconds: 10, p99Seconds: 10 });
  expect(quantilesOf(slow.map(({ le }) => ({ le, count: 0 })))).toBeUndefined();
});

test("observations count for a minute", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const histogram = new Histogram({
    name: "h",
    help: "h",
    buckets: [1, 2],
    registers: [new Registry()],
  });
  const minute = watchLastMinute(histogram);
  onTestFinished(minute.close);
  expect(await minute.read()).toBeUndefined();
  histogram.observe(1.5);
  expect(await minute.read()).toMatchObject({ count: 1 });
  await vi.advanceTimersByTimeAsync(50_000);
  histogram.observe(0.5);
  expect(await minute.read()).toMatchObject({ count: 2 });
  await vi.advanceTimersByTimeAsync(15_000);
  expect(await minute.read()).toMatchObject({ count: 1 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await minute.read()).toBeUndefined();
});
