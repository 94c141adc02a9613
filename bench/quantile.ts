/** In milliseconds, rounded to microseconds. */
export function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Number(sorted[Math.floor((sorted.length - 1) * q)]?.toFixed(3));
}
