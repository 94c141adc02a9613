import type { Report } from "./clients/streams.ts";
import { type Contender, cleanUp } from "./contenders.ts";
import { type Commit, type Run, type RunOptions, runPgbench } from "./pgbench.ts";
import { quantile } from "./quantile.ts";

export interface RecipientEvent {
  run: Run;
  report: Report;
  /** Committed messages that no stream has received. */
  lost: number;
  /** From the beginning of the first transaction to the last event. */
  seconds: number;
  /** From the last commit to the last event. */
  drainMs: number;
  /** From the commit of each sampled message to its arrival, in the order of the commits. */
  lags: { committedAt: number; ms: number }[];
}

/** Writes messages, and waits until they are delivered. Each statement writes `rows`. */
export async function deliver(
  { url, streams }: Contender,
  options: Omit<RunOptions, "url">,
  { rows = 1, sampleEvery = 1 } = {},
): Promise<RecipientEvent> {
  await cleanUp(url);
  await streams.start(sampleEvery);
  const run = await runPgbench({ ...options, url, withCommits: true });
  const expected = run.transactions * rows;
  const report = await streams.finish(expected);
  const commits = [...run.commits.values()];
  const earliest = (time: (commit: Commit) => number) =>
    commits.reduce((least, commit) => Math.min(least, time(commit)), Number.POSITIVE_INFINITY);
  const lastCommitAt = -earliest(({ at }) => -at);
  const lags = report.samples.flatMap(([key, at]) => {
    const commit = run.commits.get(key);
    return commit ? [{ committedAt: commit.at, ms: at - commit.at }] : [];
  });
  return {
    run,
    report,
    lost: expected - report.frames,
    seconds: (report.lastAt - earliest(({ beganAt }) => beganAt)) / 1000,
    drainMs: report.lastAt - lastCommitAt,
    lags: lags.toSorted((a, b) => a.committedAt - b.committedAt),
  };
}

export const lagQuantile = (lags: RecipientEvent["lags"], q: number) =>
  quantile(
    lags.map(({ ms }) => ms),
    q,
  );

/** What went wrong in the rounds, for the notes. */
export function tellOf(name: string, { report }: RecipientEvent): string[] {
  const { resets, ended } = report;
  return [
    ...(resets > 0 ? [`${name}: ${resets} streams were told to fetch their list again.`] : []),
    ...(ended > 0 ? [`${name}: ${ended} streams were ended.`] : []),
  ];
}
