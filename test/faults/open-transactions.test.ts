import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { describe, expect, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { type Delivery, openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { slowestMs } from "./support/silence.ts";
import { type Database, openDatabase, openTrial } from "./support/trial.ts";
import { readTruth } from "./support/truth.ts";

const RECIPIENT = "1";
const NOTIFY = `select bellwire.notify('${RECIPIENT}', 'test', body => $1)`;
const ROWS_PER_SECOND = 100;
/** Longer than any test, so that only NOTIFY causes reads. */
const NEVER_MS = 600_000;
const WITHIN_20_S = { timeout: 20_000 };

/** A transaction that stays open while others write. */
interface Held {
  /** Its name in the metric. */
  holder: string;
  /** The notifications that it writes, which become visible when it ends. */
  bodies: string[];
  writeMore?: () => Promise<unknown>;
  end: () => Promise<unknown>;
}

type Hold = (database: Database) => Promise<Held>;

const here: Hold = ({ databaseUrl }) => hold(databaseUrl);

const inAnotherDatabase: Hold = async ({ postgres }) => {
  await postgres.query("create database other");
  return await hold(postgres.url("other"));
};

async function hold(url: string): Promise<Held> {
  const client = await openClient(url);
  await client.query("begin");
  await client.query("create table public.of_an_open_transaction (id integer)");
  const holder = await describeBackend(client);
  return { holder, bodies: [], end: () => client.query("rollback") };
}

const prepared: Hold = async ({ databaseUrl }) => {
  const client = await openClient(databaseUrl);
  await client.query("begin");
  await client.query("insert into public.users (name) values ('Nobody')");
  await client.query("prepare transaction 'left behind'");
  const holder = "prepared transaction 'left behind', database bellwire";
  return { holder, bodies: [], end: () => client.query("commit prepared 'left behind'") };
};

/** PREPARE TRANSACTION refuses one that has sent a NOTIFY, so this works only with wake-ups suspended. */
const preparedWithRows: Hold = async ({ databaseUrl }) => {
  const client = await openClient(databaseUrl);
  const bodies = ["prepared 1", "prepared 2"];
  await client.query("begin");
  for (const body of bodies) await client.query(NOTIFY, [body]);
  await client.query("prepare transaction 'with rows'");
  const holder = "prepared transaction 'with rows', database bellwire";
  return { holder, bodies, end: () => client.query("commit prepared 'with rows'") };
};

const withSavepoints: Hold = async ({ databaseUrl }) => {
  const client = await openClient(databaseUrl);
  await client.query("begin");
  const bodies = await writeInSubtransactions(client, "before");
  return {
    holder: await describeBackend(client),
    bodies,
    writeMore: async () => bodies.push(...(await writeInSubtransactions(client, "after"))),
    end: () => client.query("commit"),
  };
};

/** Returns the bodies that are not rolled back. */
async function writeInSubtransactions(client: pg.Client, when: string): Promise<string[]> {
  const kept: string[] = [];
  const notify = async (how: string) => {
    kept.push(`${when}, ${how}`);
    await client.query(NOTIFY, [`${when}, ${how}`]);
  };
  await notify("plain");
  await client.query("savepoint outer_one");
  await notify("under a savepoint");
  await client.query("savepoint inner_one");
  await notify("under a nested savepoint");
  await client.query("release inner_one");
  await client.query("savepoint undone");
  await client.query(NOTIFY, [`${when}, undone`]);
  await client.query("rollback to undone");
  await client.query("release outer_one");
  await client.query(`do $$
    begin
      begin
        perform bellwire.notify('${RECIPIENT}', 'test', body => '${when}, failed');
        perform 1 / 0;
      exception when division_by_zero then
        perform bellwire.notify('${RECIPIENT}', 'test', body => '${when}, in a handler');
      end;
    end $$`);
  kept.push(`${when}, in a handler`);
  return kept;
}

const MODES = {
  sent: { sweepMs: NEVER_MS, limitMs: 1000, seconds: 20 },
  suspended: { sweepMs: 500, limitMs: 1500, seconds: 10 },
};

describe.each(["sent", "suspended"] as const)("with wake-ups %s, rows do not wait", (wakeUps) => {
  const mode = MODES[wakeUps];

  test.each([
    ["an open transaction in the same database", here],
    ["an open transaction in another database", inAnotherDatabase],
    ["a prepared transaction left behind", prepared],
    ["an open transaction with savepoints and EXCEPTION blocks", withSavepoints],
    ...(wakeUps === "suspended"
      ? ([["a prepared transaction with notifications", preparedWithRows]] as const)
      : []),
  ] as const)(
    "for %s, and a resume from any id is exact",
    async (name, hold) => {
      const [seed = 0] = seeds();
      const random = createRandom(seed);
      const database = await openDatabase();
      const { databaseUrl } = database;
      if (wakeUps === "suspended") await database.query("select bellwire.suspend_wakeups()");
      const { service, readers } = await startWatched(databaseUrl, `${mode.sweepMs}`, random);

      const held = await hold(database);
      const client = await openClient(databaseUrl);
      const committed = new Map<string, number>();
      await writeSteadily(client, committed, (mode.seconds / 2) * ROWS_PER_SECOND);
      await expect.poll(() => holderOfOldest(service), WITHIN_20_S).toBe(held.holder);
      await held.writeMore?.();
      await writeSteadily(client, committed, (mode.seconds / 2) * ROWS_PER_SECOND);
      expect(await holderOfOldest(service)).toBe(held.holder);
      const whileHeld = await resume({ service, databaseUrl, random, seen: readers.deliveries });

      await held.end();
      for (const body of held.bodies) committed.set(body, performance.now());
      await expect.poll(() => holderOfOldest(service), WITHIN_20_S).toBeUndefined();
      await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 });
      const afterwards = await resume({ service, databaseUrl, random, seen: readers.deliveries });

      const verdict = await judge({ postgresUrl: databaseUrl, readers });
      const lateMs = Math.round(slowestMs(readers.deliveries, committed));
      report({ fault: `${name}, wake-ups ${wakeUps}, ${lateMs} ms`, seed, verdict });
      expectExact(verdict, { minReconnects: 0 });
      expect(verdict.reconnects).toBe(0);
      expect([...whileHeld, ...afterwards].flatMap(({ lost }) => lost)).toEqual([]);
      expect([...whileHeld, ...afterwards].flatMap(({ repeated }) => repeated)).toEqual([]);
      expect(lateMs).toBeLessThanOrEqual(mode.limitMs);
    },
    120_000,
  );
});

test("200 open transactions make no id too long, and a resume may repeat rows but loses none", async () => {
  const [seed = 0] = seeds();
  const random = createRandom(seed);
  const { postgres, databaseUrl } = await openDatabase();
  const { service, readers } = await startWatched(databaseUrl, `${NEVER_MS}`, random);
  const client = await openClient(databaseUrl);
  const holders: pg.Client[] = [];
  const committed = new Map<string, number>();
  for (let i = 1; i <= 200; i++) {
    const holder = await openClient(databaseUrl);
    await holder.query("begin");
    await holder.query(NOTIFY, [`held ${i}`]);
    holders.push(holder);
    await writeSteadily(client, committed, 2);
  }
  const [open] = await postgres.query<{ count: string }>(
    "select count(*) from pg_snapshot_xip(pg_current_snapshot())",
  );
  expect(open?.count).toBe("200");

  const whileHeld = await resume({ service, databaseUrl, random, seen: readers.deliveries });
  for (const [i, holder] of holders.entries()) {
    await holder.query("commit");
    committed.set(`held ${i + 1}`, performance.now());
  }
  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 });
  const afterwards = await resume({ service, databaseUrl, random, seen: readers.deliveries });

  const verdict = await judge({ postgresUrl: databaseUrl, readers });
  const lateMs = Math.round(slowestMs(readers.deliveries, committed));
  const repeated = [...whileHeld, ...afterwards].flatMap((resumed) => resumed.repeated);
  const name = `200 open transactions, ${lateMs} ms, ${repeated.length} repeated in 40 resumes`;
  report({ fault: name, seed, verdict });
  expectExact(verdict, { minReconnects: 0 });
  expect(lateMs).toBeLessThanOrEqual(1000);
  expect([...whileHeld, ...afterwards].flatMap(({ lost }) => lost)).toEqual([]);
  const ids = readers.deliveries.map(({ cursor }) => cursor ?? "");
  expect(ids.filter((id) => !/^[A-Za-z0-9._-]{1,128}$/.test(id))).toEqual([]);
  expect(repeated.length).toBeGreaterThan(0); // otherwise no id was shortened
}, 120_000);

describe("a row whose transaction began first and commits last arrives once", () => {
  test.each(["stays", "reconnects", "reconnects to a service that was killed"])(
    "at a client that %s",
    async (what) => {
      const { databaseUrl, service } = await openTrial({ env: { SWEEP_MS: `${NEVER_MS}` } });
      const stream = await open(service);
      await stream.waitFor(({ event }) => event === "ready");
      const early = await openClient(databaseUrl);
      await early.query("begin");
      await early.query(NOTIFY, ["early"]);
      const late = await openClient(databaseUrl);
      await late.query(NOTIFY, ["late"]);
      const { id: lastEventId = "" } = await stream.waitFor(({ data }) => data.body === "late");

      if (what.endsWith("killed")) await service.restart("SIGKILL");
      await service.waitUntilReady();
      const live = what === "stays" ? stream : await open(service, lastEventId);
      await live.waitFor(({ event }) => event === "ready");
      await early.query("commit");
      await live.waitFor(({ data }) => data.body === "early");
      const replayed = await open(service, lastEventId);
      await replayed.waitFor(({ data }) => data.body === "early");
      await late.query(NOTIFY, ["last"]);
      for (const { waitFor, events } of [live, replayed]) {
        await waitFor(({ data }) => data.body === "last");
        const bodies = events.slice(1).map(({ event, data }) => data.body ?? event);
        expect(bodies.filter((body) => body !== "late")).toEqual(["early", "last"]);
      }
    },
    60_000,
  );
});

async function describeBackend(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ holder: string }>(
    `select format('pid %s, database %s, user %s', pg_backend_pid(), current_database(), session_user)
         as holder`,
  );
  return rows[0]?.holder ?? "";
}

/** A service, and one reader that stays connected. */
async function startWatched(databaseUrl: string, sweepMs: string, random: Random) {
  const service = await startServiceProcess({
    databaseUrl,
    env: { SWEEP_MS: sweepMs, MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" },
  });
  await service.waitUntilReady();
  const readers = await openReaders(service, {
    streams: 1,
    recipients: [RECIPIENT],
    random: random.fork(),
  });
  return { service, readers };
}

/** Records the time of each commit, by the body of its row. */
async function writeSteadily(
  client: pg.Client,
  committed: Map<string, number>,
  count: number,
): Promise<void> {
  const startedAt = performance.now();
  for (let i = 0; i < count; i++) {
    const dueAt = startedAt + (i * 1000) / ROWS_PER_SECOND;
    await delay(Math.max(0, dueAt - performance.now()));
    const body = `row ${committed.size + 1}`;
    await client.query(NOTIFY, [body]);
    committed.set(body, performance.now());
  }
}

const open = (service: ServiceProcess, lastEventId?: string) =>
  openStream(service, RECIPIENT, lastEventId === undefined ? {} : { lastEventId });

async function holderOfOldest({ metricsUrl }: ServiceProcess): Promise<string | undefined> {
  const text = await (await fetch(metricsUrl)).text();
  return /^bellwire_oldest_transaction_seconds\{holder="(.*)"\} [\d.e-]+$/m.exec(text)?.[1];
}

interface ResumeOptions {
  service: ServiceProcess;
  databaseUrl: string;
  random: Random;
  /** What the reader that stayed connected was shown, in order. */
  seen: readonly Delivery[];
}

/**
 * Resumes from twenty of the ids that were seen. A client that has an event's id has everything that was shown up to it,
 * and must get all other rows of the table.
 */
async function resume({ service, databaseUrl, random, seen }: ResumeOptions) {
  const picked = Array.from({ length: 20 }, () => random.int(seen.length));
  const client = await openClient(databaseUrl);
  const streams = await Promise.all(
    picked.map(async (place) => {
      const lastEventId = seen[place]?.cursor ?? "";
      const stream = await open(service, lastEventId);
      return { ...stream, had: new Set(seen.slice(0, place + 1).map(({ id }) => id)) };
    }),
  );
  // Rows that the first mark causes to be repeated arrive before the second.
  for (const body of [`mark ${random.int(1e9)}`, `mark ${random.int(1e9)}`]) {
    await client.query(NOTIFY, [body]);
    await Promise.all(streams.map(({ waitFor }) => waitFor(({ data }) => data.body === body)));
  }
  const truth = await readTruth(databaseUrl);
  return streams.map(({ events, had, close }) => {
    close();
    const shown = events.flatMap(({ event, data }) => (event === "notification" ? data.id : []));
    const isNew = (id: string, i: number) => !had.has(id) && shown.indexOf(id) === i;
    return {
      lost: truth.filter(({ id }) => !had.has(id) && !shown.includes(id)),
      repeated: shown.filter((id, i) => !isNew(id, i)),
    };
  });
}
