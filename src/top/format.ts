/** 1204 → 1,204 */
export const count = (value: number) => value.toLocaleString("en-US");

/** 0.25 → 0.3/s, 1204.2 → 1,204/s */
export const perSecond = (rate: number) =>
  `${rate < 100 ? rate.toFixed(1) : count(Math.round(rate))}/s`;

/** 0.0034 → 3.4 ms, 1.25 → 1.3 s */
export const time = (seconds: number) =>
  seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(1)} s`;

export const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** 93784 → 1 d 2 h, 3725 → 1 h 2 min, 65 → 1 min 5 s */
export function duration(seconds: number): string {
  const [s, min, h, d] = [
    seconds % 60,
    (seconds / 60) % 60,
    (seconds / 3600) % 24,
    seconds / 86_400,
  ].map(Math.floor);
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${min} min`;
  return min ? `${min} min ${s} s` : `${s} s`;
}
