import type { Status } from "../metrics/status.ts";

type Totals = Status["totals"];

export type Rates = ReturnType<typeof ratesBetween>;

/**
 * How often things happened per second between two answers. After a restart of the service its totals begin again, so there are no
 * rates until the next answer.
 */
export function ratesBetween(before: Status, now: Status) {
  const seconds = now.uptimeSeconds - before.uptimeSeconds;
  const isSame = before.startedAt === now.startedAt && seconds > 0;
  const per = (count: number) => (isSame ? count / seconds : 0);
  return {
    of: (read: (totals: Totals) => number) => per(read(now.totals) - read(before.totals)),

    /** By reason, and their sum under "". Reasons without a new event are left out. */
    byReason(name: "streamsClosed" | "streamsRefused" | "resets"): Map<string, number> {
      const rates = Object.entries(now.totals[name])
        .map(
          ([reason, count]) => [reason, per(count - (before.totals[name][reason] ?? 0))] as const,
        )
        .filter(([, rate]) => rate > 0);
      return new Map([["", rates.reduce((sum, [, rate]) => sum + rate, 0)], ...rates]);
    },
  };
}
