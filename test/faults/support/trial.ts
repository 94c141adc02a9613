import { expect } from "vitest";
import { createRandom, type Random } from "../../support/random.ts";
import { expectExact, judge, type Verdict } from "./checker.ts";
import { startForwarder } from "./forwarder.ts";
import { createMigrated, type Postgres } from "./postgres.ts";
import { type ReaderLog, type ReaderOptions, startReaders } from "./readers.ts";
import { report } from "./report.ts";
import { type ServiceProcess, startServiceProcess } from "./service-process.ts";
import { settle } from "./settle.ts";
import { startWriters } from "./writers.ts";

export interface TrialOptions {
  fault: string;
  seed: number;
  postgres: Postgres;
  /** The services on one database; each reader's next connection goes to any of them. */
  services?: number;
  /** Where readers reach a service, if not at its own address. */
  through?: (service: ServiceProcess) => Promise<string>;
  streams?: number;
  writers?: number;
  /** Who reads, if not browsers at their worst. */
  read?: (
    options: ReaderOptions,
  ) => Promise<ReaderLog & { ready(): Promise<void>; close(): Promise<void> }>;
  minReconnects: number;
  /** What goes wrong, while everybody writes and reads; resolves to what was done. */
  harm: (
    services: readonly [ServiceProcess, ...ServiceProcess[]],
    random: Random,
  ) => Promise<readonly string[]>;
}

/**
 * The trial that most faults are put to: writers that roll back a third, readers that cut themselves anywhere and
 * resume, and meanwhile the harm. In the end nothing is lost, repeated or made up.
 */
export async function runTrial(options: TrialOptions): Promise<Verdict> {
  const { fault, seed, postgres, streams = 50, through, harm, minReconnects } = options;
  const random = createRandom(seed);
  const recipients = Array.from({ length: streams / 2 }, (_, i) => `${i + 1}`);
  const databaseUrl = await createMigrated(postgres, `trial_${seed}`);
  // Answers come late, and on each connection by another time: so a stream's own read and the feed's overtake one
  // another.
  const delays = random.fork();
  const slow = await startForwarder(postgres.port, { delayMs: () => delays.int(60) });
  const start = () =>
    startServiceProcess({
      databaseUrl: databaseUrl.replace(`:${postgres.port}/`, `:${slow.port}/`),
      directUrl: databaseUrl,
      env: { MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" },
    });
  const first = await start();
  const others = await Promise.all(Array.from({ length: (options.services ?? 1) - 1 }, start));
  const services = [first, ...others] as const;
  const addresses = await Promise.all(services.map((s) => through?.(s) ?? s.url));
  await Promise.all(services.map((service) => service.waitUntilReady()));

  const pick = random.fork();
  const readers = await (options.read ?? startReaders)({
    streams,
    recipients,
    addresses: () => pick.pick(addresses),
    token: first.token,
    random: random.fork(),
    // Not less at the most: a stream that is cut before its replay is out never gets to the hand-over.
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
  const done = await harm(services, random.fork());
  const faultEndedAt = performance.now();
  await writers.stop();

  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 180_000 });
  await readers.close();
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers, faultEndedAt });
  report({ fault, seed, verdict, done });
  expectExact(verdict, { minReconnects });
  expect(services.flatMap(({ exits }) => exits)).toEqual([]);
  expect(writers.rolledBack.size).toBeGreaterThan(0);
  return verdict;
}
