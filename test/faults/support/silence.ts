import type { Delivery } from "./readers.ts";

/**
 * The longest time in which a committed row waited and no reader was shown anything. (Without a waiting row it would be
 * a time without writes, not an outage.)
 */
export function longestSilenceMs(
  deliveries: readonly Delivery[],
  committed: ReadonlyMap<string, number>,
): number {
  const firstShownAt = new Map<string | null, number>();
  for (const { body, at } of deliveries)
    firstShownAt.set(body, Math.min(at, firstShownAt.get(body) ?? at));
  const shown = deliveries.map(({ at }) => at).sort((a, b) => a - b);
  let longest = 0;
  let next = 0;
  for (const [body, committedAt] of [...committed].sort(([, a], [, b]) => a - b)) {
    while ((shown[next] ?? Number.POSITIVE_INFINITY) < committedAt) next++;
    const isWaiting = (firstShownAt.get(body) ?? committedAt) >= committedAt;
    if (isWaiting) longest = Math.max(longest, (shown[next] ?? committedAt) - committedAt);
  }
  return longest;
}

/** The longest time from a commit until a reader had its row. */
export function slowestMs(
  deliveries: readonly Delivery[],
  committed: ReadonlyMap<string, number>,
): number {
  return Math.max(...deliveries.map(({ body, at }) => at - (committed.get(body ?? "") ?? at)));
}

/** From the end of the fault until the last delivery of a row that was committed before. */
export function timeToHealMs(
  deliveries: readonly Delivery[],
  committed: ReadonlyMap<string, number>,
  faultEndedAt: number,
): number {
  let healedAt = faultEndedAt;
  for (const { body, at } of deliveries) {
    const committedAt = committed.get(body ?? "");
    if (committedAt !== undefined && committedAt <= faultEndedAt && at > healedAt) healedAt = at;
  }
  return healedAt - faultEndedAt;
}
