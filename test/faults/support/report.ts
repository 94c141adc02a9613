import type { Verdict } from "./checker.ts";

export interface ReportOptions {
  fault: string;
  seed?: number;
  /** A missing value is shown as a dash. */
  verdict: Partial<Verdict>;
  /** The names of the faults, if there was more than one. */
  done?: readonly string[];
}

/** Prints one line for a fault. The columns of all tests are aligned. */
export function report({ fault, seed, verdict, done = [] }: ReportOptions): void {
  const { longestSilenceMs, healMs } = verdict;
  const columns: [label: string, value: number | string | undefined, width: number][] = [
    ["seed", seed, 10],
    ["sent", verdict.sent, 6],
    ["delivered", verdict.delivered, 7],
    ["lost", verdict.lost, 4],
    ["repeated", verdict.repeated, 4],
    ["rolled back but shown", verdict.phantoms, 2],
    ["reconnects", verdict.reconnects, 6],
    ["longest silence", seconds(longestSilenceMs), 7],
    ["time to heal", seconds(healMs), 7],
  ];
  const cells = columns.map(
    ([label, value, width]) => `${label} ${`${value ?? "-"}`.padStart(width)}`,
  );
  console.log([fault.padEnd(32), ...cells].join("  "));
  if (done.length > 0) console.log(`  with ${count(done)}`);
}

function count(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, times]) => `${times} × ${name}`).join(", ");
}

const seconds = (ms: number | undefined) =>
  ms === undefined ? undefined : `${(ms / 1000).toFixed(1)} s`;
