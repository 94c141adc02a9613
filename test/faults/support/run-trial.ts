import { expect } from "vitest";
import { createRandom, type Random } from "../../support/random.ts";
import { expectExact } from "./checker.ts";
import type { Postgres } from "./postgres.ts";
import { type ReaderLog, type ReaderOptions, startReaders } from "./readers.ts";
import { report } from "./report.ts";
import type { ServiceProcess } from "./service-process.ts";
import { openTrial, type Trial } from "./trial.ts";
import { startWriters } from "./writers.ts";

export interface RunOptions {
  fault: string;
  seed: number;
  /** A running server that several trials share. By default the trial starts its own. */
  postgres?: Postgres;
  /** Each reader's next connection goes to any of them. */
  instances?: number;
  /** The address of a proxy before the service. By default readers connect to the service itself. */
  through?: (service: ServiceProcess) => Promise<string>;
  streams?: number;
  writers?: number;
  /** Other readers than those that cut their streams. */
  read?: (
    options: ReaderOptions,
  ) => Promise<ReaderLog & { ready(): Promise<void>; close(): Promise<void> }>;
  minReconnects: number;
  /** The fault, while everybody writes and reads. It resolves to the names of what was done. */
  harm: (trial: Trial, random: Random) => Promise<readonly string[]>;
}

/**
 * The trial of most faults. Writers roll back a third of their transactions, readers cut their streams anywhere and
 * resume, and meanwhile the fault happens. In the end nothing may be lost, repeated or shown although rolled back.
 */
export async function runTrial(options: RunOptions): Promise<Trial> {
  const {
    fault,
    seed,
    postgres,
    instances = 1,
    streams = 50,
    through,
    harm,
    minReconnects,
  } = options;
  const random = createRandom(seed);
  const recipients = Array.from({ length: streams / 2 }, (_, i) => `${i + 1}`);
  // Answers are late by another time on each connection, so a stream's own read and the feed's overtake each other.
  const delays = random.fork();
  const trial = await openTrial({
    ...(postgres ? { postgres, name: `trial_${seed}` } : {}),
    instances,
    delayMs: () => delays.int(60),
    env: { MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" },
  });
  const { databaseUrl, service, services } = trial;
  const addresses = await Promise.all(services.map((s) => through?.(s) ?? s.url));

  const pick = random.fork();
  const readers = await (options.read ?? startReaders)({
    streams,
    recipients,
    addresses: () => pick.pick(addresses),
    token: service.token,
    random: random.fork(),
    // A lower maximum would cut each stream before its replay ends, so that none would go live.
    cutAfterBytes: [200, 20_000],
  });
  await readers.ready();
  const writers = await startWriters({
    url: databaseUrl,
    count: options.writers ?? 16,
    recipients,
    random: random.fork(),
    pauseMs: [0, 60],
  });
  const done = await harm(trial, random.fork());
  const faultEndedAt = performance.now();
  await writers.stop();

  const verdict = await trial.judge({ readers, writers, faultEndedAt, timeoutMs: 180_000 });
  report({ fault, seed, verdict, done });
  expectExact(verdict, { minReconnects });
  expect(services.flatMap(({ exits }) => exits)).toEqual([]);
  expect(writers.rolledBack.size).toBeGreaterThan(0);
  return trial;
}
