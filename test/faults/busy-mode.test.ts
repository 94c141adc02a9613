import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { startLoop } from "./support/loop.ts";
import { type Delivery, openReaders, type ReaderLog } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { openTrial } from "./support/trial.ts";

const RECIPIENTS = ["1", "2", "3", "4", "5", "6", "7", "8"];
const SERVICES = 3;
const WRITERS = 24;
const BURSTS = 24;
/** Two ticks must be longer than the delays of three services, PostgreSQL, writers and readers on two cores. */
const TICK_MS = 100;
const SWEEP_MS = 10_000;
/** The read, the way to the client, and other work of the machine. */
const SLACK_MS = 400;
/** After this time a stream that was cut is open again. */
const COMES_BACK_MS = 4000;

/** A transaction as its writer saw it: the body of its row, when it wrote the row, and when its commit was answered. */
interface Commit {
  body: string;
  wroteAt: number;
  committedAt: number;
}

test.each(seeds())(
  "no row waits for a sweep while bursts begin and end, commits are slow and instances are killed, seed %i",
  async (seed) => {
    const { databaseUrl, services } = await openTrial({
      instances: SERVICES,
      env: { TICK_MS: `${TICK_MS}`, SWEEP_MS: `${SWEEP_MS}`, REPLAY_LIMIT: "100000" },
    });
    const random = createRandom(seed);
    const crowds = await Promise.all(
      services.map(async (service) => {
        const readers = await openReaders(service, {
          streams: RECIPIENTS.length,
          recipients: RECIPIENTS,
          random: random.fork(),
        });
        return { service, readers, deaths: [] as number[] };
      }),
    );

    const periods = await watchBusyPeriods(databaseUrl);
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
    await periods.close();
    const busyPeriods = periods.count();

    const isSettled = await Promise.all(
      crowds.map(({ readers }) => settle({ postgresUrl: databaseUrl, readers, timeoutMs: 60_000 })),
    );
    expect(isSettled).toEqual(crowds.map(() => true));
    const log = joinLogs(crowds.map(({ readers }) => readers));
    const verdict = await judge({ postgresUrl: databaseUrl, readers: log });
    report({ fault: "busy mode", seed, verdict });
    expectExact(verdict, { minReconnects: 1 });
    expect(busyPeriods).toBeGreaterThan(3);

    const waits = crowds.flatMap((crowd) => waitsOf(crowd, commits));
    const worst = waits.reduce((a, b) => (b.overMs > a.overMs ? b : a));
    console.log(
      `  ${busyPeriods} busy periods; longest wait ${Math.round(worst.ms)} ms for a row whose own commit took ` +
        `${Math.round(worst.ownMs)} ms; TICK_MS=${TICK_MS}`,
    );
    expect(worst.overMs).toBeLessThan(2 * TICK_MS + SLACK_MS);
  },
  300_000,
);

/** One log for the checker, in which each reader has its own name. */
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

/** One row per transaction. One transaction in thirty stays open for up to 1.2 s before its commit. */
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

/** Counts how often wake-ups were suspended. */
async function watchBusyPeriods(url: string) {
  const client = await openClient(url);
  let wasBusy = false;
  let count = 0;
  const { close } = startLoop(async () => {
    const { rows } = await client.query("select bellwire.wakeups_suspended_ms() > 0 as is_busy");
    if (rows[0].is_busy && !wasBusy) count++;
    wasBusy = rows[0].is_busy;
    await delay(20);
  });
  return { count: () => count, close };
}

/**
 * How long each row waited that was committed while the service was up and its streams were open. `overMs` leaves out a
 * twentieth of the time that its own transaction took.
 */
function waitsOf(
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
