import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { type Delivery, type ReaderLog, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const RECIPIENTS = ["1", "2", "3", "4", "5", "6", "7", "8"];
const SERVICES = 3;
const WRITERS = 24;
const BURSTS = 24;
/** So long that two of them stand out from what two cores need for three services, a database and all who write and read. */
const TICK_MS = 100;
const SWEEP_MS = 10_000;
/** For the read, the way to the client, and the machine's other work. */
const SLACK_MS = 400;
/** A stream that was cut is open again by then. */
const COMES_BACK_MS = 4000;

/** A transaction as its writer saw it: the body of its row, when it wrote it, and when its commit was answered. */
interface Commit {
  body: string;
  wroteAt: number;
  committedAt: number;
}

test.each(seeds())(
  "bursts begin and end, commits are held up, services die: no row waits for a sweep, seed %i",
  async (seed) => {
    const postgres = await startPostgres();
    const databaseUrl = await createMigrated(postgres);
    const random = createRandom(seed);
    const services = await Promise.all(
      Array.from({ length: SERVICES }, () =>
        startServiceProcess({
          databaseUrl,
          env: { TICK_MS: `${TICK_MS}`, SWEEP_MS: `${SWEEP_MS}`, REPLAY_LIMIT: "100000" },
        }),
      ),
    );
    const crowds = await Promise.all(
      services.map(async (service) => {
        await service.waitUntilReady();
        const readers = await startReaders({
          streams: RECIPIENTS.length,
          recipients: RECIPIENTS,
          addresses: () => service.url,
          token: service.token,
          random: random.fork(),
        });
        await readers.ready();
        return { service, readers, deaths: [] as number[] };
      }),
    );

    const periods = watchBusyPeriods(databaseUrl);
    const commits: Commit[] = [];
    for (let i = 0; i < BURSTS; i++) {
      const burst = write(databaseUrl, random.fork(), commits, 200 + random.int(1300));
      if (i % 4 === 3) {
        const crowd = random.pick(crowds);
        await delay(random.int(800));
        await die(crowd.service, crowd.deaths, random);
      }
      await burst;
      await delay(random.int(1500));
    }
    const busyPeriods = await periods.stop();

    const isSettled = await Promise.all(
      crowds.map(({ readers }) => settle({ postgresUrl: databaseUrl, readers, timeoutMs: 60_000 })),
    );
    expect(isSettled).toEqual(crowds.map(() => true));
    const log = joinLogs(crowds.map(({ readers }) => readers));
    const verdict = await judge({ postgresUrl: databaseUrl, readers: log });
    report({ fault: "busy mode", seed, verdict });
    expectExact(verdict, { minReconnects: 1 });
    expect(busyPeriods).toBeGreaterThan(3);

    const waits = crowds.flatMap((crowd) => longestWait(crowd, commits));
    const worst = waits.reduce((a, b) => (b.overMs > a.overMs ? b : a));
    console.log(
      `  ${busyPeriods} busy periods; longest wait ${Math.round(worst.ms)} ms for a row whose own commit took ` +
        `${Math.round(worst.ownMs)} ms; TICK_MS=${TICK_MS}`,
    );
    expect(worst.overMs).toBeLessThan(2 * TICK_MS + SLACK_MS);
  },
  300_000,
);

/** One log, in which every reader has a name of its own. */
function joinLogs(logs: readonly ReaderLog[]): ReaderLog {
  const named = <Entry extends { reader: string }>(entries: readonly Entry[], i: number) =>
    entries.map((entry) => ({ ...entry, reader: `${entry.reader} of service ${i + 1}` }));
  return {
    readers: logs.flatMap(({ readers }, i) =>
      readers.map((reader) => ({ ...reader, name: `${reader.name} of service ${i + 1}` })),
    ),
    deliveries: logs.flatMap(({ deliveries }, i) => named(deliveries, i)),
    resets: logs.flatMap(({ resets }, i) => named(resets, i)),
  };
}

/** Everybody writes for so long: one row a transaction, of which one in thirty is held up before its commit. */
async function write(url: string, random: Random, commits: Commit[], ms: number): Promise<void> {
  const end = performance.now() + ms;
  const writers = Array.from({ length: 1 + random.int(WRITERS) }, () => random.fork());
  await Promise.all(
    writers.map(async (own) => {
      const client = new pg.Client(url);
      await client.connect();
      while (performance.now() < end) {
        const body = `${own.int(2 ** 32)}-${own.int(2 ** 32)}`;
        await client.query("begin");
        const wroteAt = performance.now();
        await client.query("select bellwire.notify($1, 'test', body => $2)", [
          own.pick(RECIPIENTS),
          body,
        ]);
        if (own.chance(1 / 30)) await delay(own.int(1200));
        if (own.chance(1 / 10)) {
          await client.query("rollback");
          continue;
        }
        await client.query("commit");
        commits.push({ body, wroteAt, committedAt: performance.now() });
        await delay(own.int(10));
      }
      await client.end();
    }),
  );
}

async function die(service: ServiceProcess, deaths: number[], random: Random): Promise<void> {
  deaths.push(performance.now());
  await service.kill("SIGKILL");
  await delay(random.int(1500));
  await service.start();
  deaths.push(performance.now());
}

/** Counts how often wake-ups were suspended anew. */
function watchBusyPeriods(url: string) {
  let isStopped = false;
  let periods = 0;
  async function watch() {
    const client = new pg.Client(url);
    await client.connect();
    for (let wasBusy = false; !isStopped; await delay(20)) {
      const { rows } = await client.query("select bellwire.wakeups_suspended_ms() > 0 as is_busy");
      if (rows[0].is_busy && !wasBusy) periods++;
      wasBusy = rows[0].is_busy;
    }
    await client.end();
  }
  const watching = watch();
  return {
    async stop() {
      isStopped = true;
      await watching;
      return periods;
    },
  };
}

/**
 * Of the rows that were committed while the service was up and its streams open: the one that came latest, beyond a twentieth
 * of the time its transaction took itself.
 */
function longestWait(
  { readers, deaths }: { readers: { deliveries: readonly Delivery[] }; deaths: readonly number[] },
  commits: readonly Commit[],
) {
  const byBody = new Map(commits.map((commit) => [commit.body, commit]));
  return readers.deliveries.flatMap(({ body, at }) => {
    const commit = byBody.get(body ?? "");
    if (!commit) return [];
    const { wroteAt, committedAt } = commit;
    if (deaths.some((death) => committedAt > death - 500 && committedAt < death + COMES_BACK_MS))
      return [];
    const ownMs = committedAt - wroteAt;
    return [{ ms: at - committedAt, ownMs, overMs: at - committedAt - ownMs / 20 }];
  });
}
