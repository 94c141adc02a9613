import type { Histogram } from "prom-client";

export interface Quantiles {
  count: number;
  p50Seconds: number;
  p99Seconds: number;
}

/** How many observations were at most `le`, by `le`, ascending and ending with infinity. */
type Buckets = readonly { le: number; count: number }[];

const STEP_MS = 5000;
const STEPS = 12;

/**
 * The quantiles of a histogram's last minute, to 5 s: it keeps the buckets of every 5 s and subtracts. So an observation costs
 * nothing more.
 */
export function watchLastMinute(histogram: Histogram) {
  /** Before the start there was nothing. */
  const past: Buckets[] = Array(STEPS).fill([]);

  async function step() {
    past.push(await readBuckets(histogram));
    past.shift();
  }
  const timer = setInterval(step, STEP_MS).unref();

  return {
    /** undefined if there was nothing. */
    async read(): Promise<Quantiles | undefined> {
      const [before = []] = past;
      const now = await readBuckets(histogram);
      return quantilesOf(
        now.map(({ le, count }, i) => ({ le, count: count - (before[i]?.count ?? 0) })),
      );
    },
    close: () => clearInterval(timer),
  };
}

async function readBuckets(histogram: Histogram): Promise<Buckets> {
  const { values } = await histogram.get();
  return values
    .filter(({ metricName }) => metricName?.endsWith("_bucket"))
    .map(({ labels, value }) => ({
      le: labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le),
      count: value,
    }));
}

export function quantilesOf(buckets: Buckets): Quantiles | undefined {
  const count = buckets.at(-1)?.count ?? 0;
  if (count === 0) return undefined;
  return { count, p50Seconds: quantile(buckets, 0.5), p99Seconds: quantile(buckets, 0.99) };
}

/** As PromQL's histogram_quantile(): evenly spread within a bucket; above the last limit, that limit. */
function quantile(buckets: Buckets, share: number): number {
  const rank = share * (buckets.at(-1)?.count ?? 0);
  const at = buckets.findIndex(({ count }) => count >= rank);
  const { le: low, count: below } = buckets[at - 1] ?? { le: 0, count: 0 };
  const { le: high, count: upTo } = buckets[at] ?? { le: low, count: below };
  if (high === Number.POSITIVE_INFINITY || upTo === below) return low;
  return low + (high - low) * ((rank - below) / (upTo - below));
}
