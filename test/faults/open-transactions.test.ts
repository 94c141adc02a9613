import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { type Delivery, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { readTruth } from "./support/truth.ts";

const RECIPIENT = "1";
const NOTIFY = `select bellwire.notify('${RECIPIENT}', 'test', body => $1)`;
const ROWS_PER_SECOND = 100;
/** Longer than any test, so that only NOTIFY delivers. */
const NEVER_MS = 600_000;
const WITHIN_20_S = { timeout: 20_000 };

/** A transaction that stays open while others write. */
interface Held {
  /** As the metric names it. */
  holder: string;
  /** The notifications it writes, which show when it ends. */
  bodies: string[];
  goOn?: () => Promise<unknown>;
  end: () => Promise<unknown>;
}

type Hold = (postgres: Postgres, databaseUrl: string) => Promise<Held>;

const here: Hold = (_, databaseUrl) => hold(databaseUrl);

const inAnotherDatabase: Hold = async (postgres) => {
  await postgres.query("create database other");
  return await hold(postgres.url("other"));
};

async function hold(url: string): Promise<Held> {
  const client = await connect(url);
  await client.query("begin");
  await client.query("create table public.of_an_open_transaction (id integer)");
  const holder = await describeBackend(client);
  return { holder, bodies: [], end: () => client.query("rollback") };
}

const prepared: Hold = async (_, databaseUrl) => {
  const client = await connect(databaseUrl);
  await client.query("begin");
  await client.query("insert into public.users (name) values ('Nobody')");
  await client.query("prepare transaction 'left behind'");
  const holder = "prepared transaction 'left behind', database bellwire";
  return { holder, bodies: [], end: () => client.query("commit prepared 'left behind'") };
};

/** PREPARE refuses a transaction that has sent a wake-up, so only without them. */
const preparedWithRows: Hold = async (_, databaseUrl) => {
  const client = await connect(databaseUrl);
  const bodies = ["prepared 1", "prepared 2"];
  await client.query("begin");
  for (const body of bodies) await client.query(NOTIFY, [body]);
  await client.query("prepare transaction 'with rows'");
  const holder = "prepared transaction 'with rows', database bellwire";
  return { holder, bodies, end: () => client.query("commit prepared 'with rows'") };
};

const withSavepoints: Hold = async (_, databaseUrl) => {
  const client = await connect(databaseUrl);
  await client.query("begin");
  const bodies = await writeInSubtransactions(client, "before");
  return {
    holder: await describeBackend(client),
    bodies,
    goOn: async () => bodies.push(...(await writeInSubtransactions(client, "after"))),
    end: () => client.query("commit"),
  };
};

/** The bodies of what is not undone within. */
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

describe.each(["sent", "suspended"] as const)(
  "with wake-ups %s, rows arrive in time",
  (wakeUps) => {
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
      "behind %s, and every id seen resumes exactly",
      async (name, hold) => {
        const [seed = 0] = seeds();
        const random = createRandom(seed);
        const postgres = await startPostgres();
        const databaseUrl = await createMigrated(postgres);
        if (wakeUps === "suspended")
          await postgres.query("select bellwire.suspend_wakeups()", [], "bellwire");
        const { service, readers } = await startWatched(databaseUrl, `${mode.sweepMs}`, random);

        const held = await hold(postgres, databaseUrl);
        const client = await connect(databaseUrl);
        const committed = new Map<string, number>();
        await writeSteadily(client, committed, (mode.seconds / 2) * ROWS_PER_SECOND);
        await expect.poll(() => holderOfOldest(service), WITHIN_20_S).toBe(held.holder);
        await held.goOn?.();
        await writeSteadily(client, committed, (mode.seconds / 2) * ROWS_PER_SECOND);
        expect(await holderOfOldest(service)).toBe(held.holder);
        const whileHeld = await resume({ service, databaseUrl, random, seen: readers.deliveries });

        await held.end();
        for (const body of held.bodies) committed.set(body, performance.now());
        await expect.poll(() => holderOfOldest(service), WITHIN_20_S).toBeUndefined();
        await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 });
        const afterwards = await resume({ service, databaseUrl, random, seen: readers.deliveries });

        const verdict = await judge({ postgresUrl: databaseUrl, readers });
        const lateMs = greatestDelayMs(readers.deliveries, committed);
        report({ fault: `${name}, wake-ups ${wakeUps}, ${lateMs} ms`, seed, verdict });
        expectExact(verdict, { minReconnects: 0 });
        expect(verdict.reconnects).toBe(0);
        expect([...whileHeld, ...afterwards].flatMap(({ lost }) => lost)).toEqual([]);
        expect([...whileHeld, ...afterwards].flatMap(({ repeated }) => repeated)).toEqual([]);
        expect(lateMs).toBeLessThanOrEqual(mode.limitMs);
      },
      120_000,
    );
  },
);

test("200 open transactions make no id too long; a resume may repeat and loses nothing", async () => {
  const [seed = 0] = seeds();
  const random = createRandom(seed);
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const { service, readers } = await startWatched(databaseUrl, `${NEVER_MS}`, random);
  const client = await connect(databaseUrl);
  const holders: pg.Client[] = [];
  const committed = new Map<string, number>();
  for (let i = 1; i <= 200; i++) {
    const holder = await connect(databaseUrl);
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
  const lateMs = greatestDelayMs(readers.deliveries, committed);
  const repeated = [...whileHeld, ...afterwards].flatMap((resumed) => resumed.repeated);
  const name = `200 open transactions, ${lateMs} ms, ${repeated.length} repeated in 40 resumes`;
  report({ fault: name, seed, verdict });
  expectExact(verdict, { minReconnects: 0 });
  expect(lateMs).toBeLessThanOrEqual(1000);
  expect([...whileHeld, ...afterwards].flatMap(({ lost }) => lost)).toEqual([]);
  const ids = readers.deliveries.map(({ cursor }) => cursor ?? "");
  expect(ids.filter((id) => !/^[A-Za-z0-9._-]{1,128}$/.test(id))).toEqual([]);
  expect(repeated.length).toBeGreaterThan(0); // else nothing was shortened
}, 120_000);

describe("a row whose transaction began first and commits last arrives, once", () => {
  test.each(["stays", "reconnects", "reconnects to a service that was killed"])(
    "at a client that %s",
    async (what) => {
      const postgres = await startPostgres();
      const databaseUrl = await createMigrated(postgres);
      const service = await startServiceProcess({
        databaseUrl,
        env: { SWEEP_MS: `${NEVER_MS}` },
      });
      await service.waitUntilReady();
      const stream = await open(service);
      await stream.waitFor(({ event }) => event === "ready");
      const early = await connect(databaseUrl);
      await early.query("begin");
      await early.query(NOTIFY, ["early"]);
      const late = await connect(databaseUrl);
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

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  client.on("error", () => {}); // its server ends first
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

async function describeBackend(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ holder: string }>(
    `select format('pid %s, database %s, user %s', pg_backend_pid(), current_database(), session_user)
         as holder`,
  );
  return rows[0]?.holder ?? "";
}

/** A service, and one reader that never leaves by itself. */
async function startWatched(databaseUrl: string, sweepMs: string, random: Random) {
  const service = await startServiceProcess({
    databaseUrl,
    env: { SWEEP_MS: sweepMs, MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" },
  });
  await service.waitUntilReady();
  const readers = await startReaders({
    streams: 1,
    recipients: [RECIPIENT],
    addresses: () => service.url,
    token: service.token,
    random: random.fork(),
  });
  await readers.ready();
  return { service, readers };
}

/** Logs when each was committed, by its body. */
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

function greatestDelayMs(deliveries: readonly Delivery[], committed: ReadonlyMap<string, number>) {
  const delays = deliveries.map(({ body, at }) => at - (committed.get(body ?? "") ?? at));
  return Math.round(Math.max(...delays));
}

interface ResumeOptions {
  service: ServiceProcess;
  databaseUrl: string;
  random: Random;
  /** What a reader that stayed was shown, in order. */
  seen: readonly Delivery[];
}

/**
 * Streams from twenty of the ids that were seen. Whoever has an event's id has what was shown up to it, and is to get
 * whatever else is in the table.
 */
async function resume({ service, databaseUrl, random, seen }: ResumeOptions) {
  const picked = Array.from({ length: 20 }, () => random.int(seen.length));
  const client = await connect(databaseUrl);
  const streams = await Promise.all(
    picked.map(async (place) => {
      const lastEventId = seen[place]?.cursor ?? "";
      const stream = await open(service, lastEventId);
      return { ...stream, had: new Set(seen.slice(0, place + 1).map(({ id }) => id)) };
    }),
  );
  // The second comes behind all that the first could have made to come again.
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
