import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { once } from "../../src/embedded/server.ts";
import { openStream, type StreamEvent } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import { call } from "../support/service.ts";
import { expectExact, judge } from "./support/checker.ts";
import { startForwarder } from "./support/forwarder.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { type Delivery, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { groupByRecipient, readTruth } from "./support/truth.ts";

const RECIPIENTS = ["1", "2", "3", "4"];
const ROWS_PER_SECOND = 500;
const CONNECTS = 1000;
const LISTS = 500;
const AT_ONCE = 20;
const QUERY_CANCELED = "57014";

/** An event that some stream showed. There is one writer, so whoever has it has all the recipient's lower ids. */
type Seen = Pick<Delivery, "recipientId" | "id" | "cursor">;

/** The feed's reads and a stream's own overtake one another: whose answers come how much later. */
const DELAYS = {
  feed: { feedMs: 40, streamMs: 0 },
  stream: { feedMs: 0, streamMs: 40 },
};
/** The service opens these first: one to look at the schema, the feed's, the probe's. */
const FEED_CONNECTIONS = 3;

test.each([
  ["the feed's", seeds()[0] ?? 0, DELAYS.feed],
  ["the stream's", seeds().at(-1) ?? 0, DELAYS.stream],
])(
  "where a replay goes over to live and %s reads are slower no row is lost or repeated, seed %i",
  async (whose, seed, delays) => {
    const random = createRandom(seed);
    const { databaseUrl, service } = await start(delays);
    const readers = await startReaders({
      streams: RECIPIENTS.length,
      recipients: RECIPIENTS,
      addresses: () => service.url,
      token: service.token,
      random: random.fork(),
    });
    await readers.ready();
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 });
    onTestFinished(() => pool.end());
    const writer = await startWriter(pool);
    await readers.until(() => readers.deliveries.length > 500, 30_000);
    /** What the connections below were shown: among it positions within a replay's read. */
    const seen: Seen[] = [];
    const wrong: string[] = [];
    const shown: { from: Seen; ids: string[] }[] = [];

    const before = await writer.lastId();
    const startedAt = performance.now();
    await repeat(CONNECTS, async () => {
      const list = random.chance(0.5) && seen.length > 0 ? seen : readers.deliveries;
      // Mostly of the last seconds: a replay from the beginning takes longer with every row.
      const age = random.int(Math.min(list.length, random.chance(0.02) ? list.length : 1000));
      const from = list.at(-1 - age) as Seen;
      const { recipientId, cursor = "" } = from;
      const stream = await openStream(service, recipientId, { lastEventId: cursor });
      await delay(random.int(200));
      const mark = await writer.lastId();
      await stream.waitFor(({ event, data }) => event === "notification" && BigInt(data.id) > mark);
      stream.close();
      const notifications = stream.events.filter(isNotification);
      for (const { event, data } of stream.events)
        if (event === "reset") wrong.push(`after ${from.id}: reset, ${data.reason}`);
      shown.push({ from, ids: notifications.map(({ data }) => data.id) });
      for (const { id: cursor, data } of notifications)
        seen.push({ recipientId, id: data.id, cursor });
    });
    const written = Number((await writer.lastId()) - before);
    const seconds = (performance.now() - startedAt) / 1000;
    await writer.stop();

    const truth = groupByRecipient(await readTruth(databaseUrl));
    for (const { from, ids } of shown) {
      const last = BigInt(ids.at(-1) ?? 0);
      const expected = (truth.get(from.recipientId) ?? [])
        .map(({ id }) => id)
        .filter((id) => BigInt(id) > BigInt(from.id) && BigInt(id) <= last);
      if (ids.join() !== expected.join())
        wrong.push(`after ${from.id} (${from.cursor}): ${ids} and not ${expected}`);
    }
    expect(wrong).toEqual([]);
    expect(shown.length).toBe(CONNECTS);

    await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 });
    await readers.close();
    const verdict = await judge({ postgresUrl: databaseUrl, readers });
    const [connects, rows] = [shown.length, written].map((count) => Math.round(count / seconds));
    report({
      fault: `hand-over, ${whose} slower, ${connects} connects/s, ${rows} rows/s`,
      seed,
      verdict,
    });
    expectExact(verdict, { minReconnects: 0 });
  },
);

test("nothing falls between the list and the stream, and nothing comes twice", async () => {
  const random = createRandom(seeds()[0] ?? 0);
  const { databaseUrl, service } = await start(DELAYS.feed);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 });
  onTestFinished(() => pool.end());
  const notify = (recipientId: string, body: string) =>
    pool.query("select bellwire.notify($1, 'test', body => $2)", [recipientId, body]);
  const got = new Map<string, string[]>();
  let listedDuring = 0;
  /** How long the last one took: about then the next one's row comes. */
  let listMs = 50;
  await repeat(LISTS, async (i) => {
    const recipientId = `list-${i}`;
    await notify(recipientId, "before the list");
    const askedAt = performance.now();
    const noted = delay(random.int(2 * listMs)).then(() => notify(recipientId, "during the list"));
    const { body: list } = await call(service, recipientId, "");
    listMs = Math.round(performance.now() - askedAt);
    await noted;
    await notify(recipientId, "between");
    const [stream] = await Promise.all([
      openStream(service, recipientId, { query: `?lastEventId=${list.cursor}` }),
      notify(recipientId, "as the stream opens"),
    ]);
    await notify(recipientId, "last");
    await stream.waitFor(({ data }) => data.body === "last");
    stream.close();
    listedDuring += Number(list.notifications.length === 2);
    const rest = stream.events.slice(1).map(({ data }) => data.id);
    got.set(recipientId, [...list.notifications.map(({ id }: { id: string }) => id), ...rest]);
  });

  for (const [recipientId, rows] of groupByRecipient(await readTruth(databaseUrl))) {
    const expected = rows.map(({ id }) => id);
    expect(got.get(recipientId)?.sort(byNumber), recipientId).toEqual(expected);
  }
  expect(got.size).toBe(LISTS);
  // The row that came during the list was in some and not in others.
  expect(listedDuring).toBeGreaterThan(0);
  expect(listedDuring).toBeLessThan(LISTS);
  const sent = LISTS * 5;
  const exact = { sent, delivered: sent, lost: 0, repeated: 0 };
  report({ fault: `list, then stream; ${listedDuring} of ${LISTS} raced`, verdict: exact });
});

async function start({ feedMs, streamMs }: { feedMs: number; streamMs: number }) {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  let opened = 0;
  const slow = await startForwarder(postgres.port, {
    delayMs: () => (opened++ < FEED_CONNECTIONS ? feedMs : streamMs),
  });
  const service = await startServiceProcess({
    databaseUrl: databaseUrl.replace(`:${postgres.port}/`, `:${slow.port}/`),
    directUrl: databaseUrl,
    env: { MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "1000000" },
  });
  await service.waitUntilReady();
  return { databaseUrl, service: { ...service, logged: service.said } };
}

/** One session that commits row after row, paced by the server, which does not wait for what goes on here. */
async function startWriter(pool: pg.Pool) {
  const client = await pool.connect();
  const { rows } = await client.query("select pg_backend_pid() as pid");
  const writing = client.query(`do $$
    declare
      started constant timestamptz := clock_timestamp();
    begin
      for i in 0 .. 10000000 loop
        perform bellwire.notify((1 + i % ${RECIPIENTS.length})::text, 'test');
        commit;
        perform pg_sleep_until(started + i * interval '1 second' / ${ROWS_PER_SECOND});
      end loop;
    end $$`);
  const stopped = writing.catch((err) => expect(err.code).toBe(QUERY_CANCELED));
  const stop = once(async () => {
    await pool.query("select pg_cancel_backend($1)", [rows[0].pid]);
    await stopped;
    client.release();
  });
  onTestFinished(stop);

  return {
    /** The greatest that is committed. */
    async lastId(): Promise<bigint> {
      const { rows } = await pool.query("select max(id) from bellwire.notifications");
      return BigInt(rows[0].max);
    },
    stop,
  };
}

async function repeat(times: number, task: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const run = async () => {
    while (next < times) await task(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, run));
}

const isNotification = ({ event }: StreamEvent) => event === "notification";
const byNumber = (a: string, b: string) => Number(a) - Number(b);
