import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { type EventSources, openEventSources } from "./clients/event-sources.ts";
import { bellwireStreams } from "./clients/wanted.ts";
import { boundGoal } from "./compare.ts";
import { query } from "./contenders.ts";
import { cpuMs } from "./cpu.ts";
import { now, readMetric, seedUsers } from "./crowd.ts";
import { currentPss } from "./pss.ts";
import { quantile } from "./quantile.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, type Instance, startDatabase, startInstance } from "./service.ts";
import { insertMissed, MISSED } from "./storm.ts";

/** A factor for the numbers of streams; smaller during work on the scenario. */
const PART = Number(process.env.BENCH_SCALE ?? 1);

/** A process may open 20,000 files, and each stream is one. */
const CROWDS = [
  { streams: 19_000 * PART, instances: 1 },
  { streams: 50_000 * PART, instances: 3 },
];

const WARM_UP = 500;
const [SETTLE_MS, BASE_MS, IDLE_MS] = [20_000, 10_000, 30_000];
/** How long to wait for clients that do not come back. */
const LIMIT_MS = 90_000;

const [PER_STREAM, IDLE, LAG] = ["KB a stream", "CPU an idle stream, µs/s", "event loop's p99, ms"];
const [BACK, QUERIES] = ["s until all are back", "queries"];

/** As many streams as the file limit allows: their memory and CPU while nothing is sent, and how they come back when all services are killed. */
export async function manyStreams(): Promise<Result> {
  const database = await startDatabase();
  const figures: Result["figures"] = {};
  for (const crowd of CROWDS) addRound(figures, nameOf(crowd), await measure(database, crowd));
  await database.close();
  return {
    scenario: "many-streams",
    what: `Many event streams are open, each of another recipient, and nothing is sent but heartbeats. The table has the growth of the memory (PSS) per stream, the CPU time of the services, and the 99th percentile of their event loops' delay. Then all services are killed (SIGKILL), ${MISSED} rows are inserted for every tenth recipient, and the services are started again. The clients reconnect as browsers do. One round.`,
    figures,
    goals: CROWDS.map(nameOf).flatMap((name) => [
      boundGoal(figures, `${name}: KB a stream`, [name, PER_STREAM], { atMost: 5.5 }),
      boundGoal(figures, `${name}: CPU of an idle stream, µs/s`, [name, IDLE], { atMost: 10 }),
      boundGoal(figures, `${name}: event loop's p99, ms`, [name, LAG], { atMost: 50 }),
      boundGoal(figures, `${name}: seconds until all are back`, [name, BACK], { atMost: 25 }),
      boundGoal(figures, `${name}: not back`, [name, "not back"], { atMost: 0 }),
      boundGoal(figures, `${name}: rows lost`, [name, "lost"], { atMost: 0 }),
      boundGoal(figures, `${name}: queries while they came back`, [name, QUERIES], { atMost: 300 }),
    ]),
    notes: [
      `The clients are on the same machine. At the start ${WARM_UP} streams are opened and closed in each process. Memory is the median of ${BASE_MS / 1000} s then, and of ${IDLE_MS / 1000} s after the last stream has opened, both ${SETTLE_MS / 1000} s later; pages are counted as in idle-streams. CPU and event loops are measured in these ${IDLE_MS / 1000} s; the table has the slowest service's event loop, where 10 ms is no delay. The time until all are back runs from when all services listen. Queries are all transactions of the database, also those of the services' start, without the reads of their feeds.`,
    ],
    place: database.place,
  };
}

const nameOf = ({ streams, instances }: (typeof CROWDS)[number]) =>
  `${streams} streams, ${instances} ${instances === 1 ? "process" : "processes"}`;

async function measure(
  { url }: Database,
  { streams, instances }: (typeof CROWDS)[number],
): Promise<Record<string, number>> {
  await query(url, "truncate public.messages, bellwire.notifications", seedUsers(streams));
  const wanted = await bellwireStreams(streams);
  const shares = Array.from({ length: instances }, (_, i) =>
    wanted.filter((_, n) => n % instances === i),
  );
  const running = await startAll(url, Array<number>(instances).fill(0));
  for (const { address } of running)
    await (await openEventSources(address, wanted.slice(0, WARM_UP))).close();
  const before = (await watchIdle(running, BASE_MS)).kb;
  const clients = await Promise.all(
    running.map(({ address }, i) => openEventSources(address, shares[i] ?? [])),
  );
  const { kb, cpuMs: ms, lagMs } = await watchIdle(running, IDLE_MS);
  return {
    [PER_STREAM]: (kb - before) / streams,
    [IDLE]: (ms * 1000) / (IDLE_MS / 1000) / streams,
    [LAG]: lagMs,
    ...(await storm({ url, running, clients, streams })),
  };
}

const startAll = (url: string, ports: number[]) =>
  Promise.all(
    ports.map((port) =>
      startInstance(url, { MAX_NEW_STREAMS_PER_SECOND: "0", PORT: String(port) }),
    ),
  );

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

const memoryOf = async (running: Instance[]) =>
  sum(await Promise.all(running.map(({ pid }) => currentPss(pid))));

/** What the services use while nothing happens: the median of their memory, their CPU time, and the slowest event loop's delay. */
async function watchIdle(running: Instance[], ms: number) {
  const cpu = async () => sum(await Promise.all(running.map(({ pid }) => cpuMs(pid))));
  // A scrape begins a new measurement.
  const lags = () =>
    Promise.all(
      running.map(({ metricsAddress }) =>
        readMetric(metricsAddress, "nodejs_eventloop_lag_p99_seconds"),
      ),
    );
  await delay(SETTLE_MS);
  await lags();
  const from = await cpu();
  const sizes: number[] = [];
  for (const until = now() + ms; now() < until; await delay(1000))
    sizes.push(await memoryOf(running));
  return {
    kb: quantile(sizes, 0.5),
    cpuMs: (await cpu()) - from,
    lagMs: Math.max(...(await lags())) * 1000,
  };
}

interface Crowd {
  url: string;
  running: Instance[];
  clients: EventSources[];
  streams: number;
}

/** Kills all services, inserts rows, and starts the services again. */
async function storm({ url, running, clients, streams }: Crowd) {
  const expected = (streams / 10) * MISSED;
  const tally = async () => {
    const tallies = await Promise.all(clients.map((each) => each.tally()));
    const total = (of: "ready" | "frames" | "repeated") => sum(tallies.map((each) => each[of]));
    return {
      ready: total("ready"),
      came: total("frames") - total("repeated"),
      lastAt: Math.max(...tallies.map(({ lastAt }) => lastAt)),
    };
  };
  for (const each of clients) await each.forget();
  await Promise.all(running.map((instance) => instance.kill()));
  await query(url, insertMissed(streams));
  const transactions = await countTransactions(url);
  const second = await startAll(
    url,
    running.map(({ address }) => Number(new URL(address).port)),
  );
  const from = now();
  let { ready, came, lastAt } = await tally();
  while ((ready < streams || came < expected) && now() - from < LIMIT_MS) {
    await delay(100);
    ({ ready, came, lastAt } = await tally());
  }
  const reads = await Promise.all(
    second.map(({ metricsAddress }) => readMetric(metricsAddress, "bellwire_reads_total")),
  );
  for (const each of clients) await each.close();
  await Promise.all(second.map((instance) => instance.close()));
  return {
    [BACK]: (lastAt - from) / 1000,
    [QUERIES]: (await countTransactions(url)) - transactions - sum(reads),
    "not back": streams - ready,
    lost: expected - came,
  };
}

/** PostgreSQL adds a connection's transactions to the count at the latest when it ends. */
async function countTransactions(url: string): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query<{ count: string }>(
    "select xact_commit + xact_rollback as count from pg_stat_database where datname = current_database()",
  );
  await client.end();
  return Number(rows[0]?.count);
}
