import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { once } from "../../src/embedded/server.ts";
import { openStream, type StreamEvent } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import { call } from "../support/service.ts";
import { expectExact } from "./support/checker.ts";
import { type Delivery, openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { openTrial } from "./support/trial.ts";
import { groupByRecipient, readTruth } from "./support/truth.ts";

const RECIPIENTS = ["1", "2", "3", "4"];
const ROWS_PER_SECOND = 500;
const CONNECTS = 1000;
const LISTS = 500;
const AT_ONCE = 20;
const QUERY_CANCELED = "57014";

/** An event that some stream showed. With one writer, a client that has it has all lower ids of its recipient. */
type Seen = Pick<Delivery, "recipientId" | "id" | "cursor">;

/** How late the database answers the feed and a stream's own reads, so that these overtake each other. */
const DELAYS = {
  feed: { feedMs: 40, streamMs: 0 },
  stream: { feedMs: 0, streamMs: 40 },
};
/** The service opens these first: for the schema check, the feed and the probe. */
const FEED_CONNECTIONS = 3;

test.each([
  ["the feed's", seeds()[0] ?? 0, DELAYS.feed],
  ["the stream's", seeds().at(-1) ?? 0, DELAYS.stream],
])(
  "no row is lost or repeated when a replay goes live and %s reads are slower, seed %i",
  async (whose, seed, delays) => {
    const random = createRandom(seed);
    const { databaseUrl, service, judge } = await openDelayed(delays);
    const readers = await openReaders(service, {
      streams: RECIPIENTS.length,
      recipients: RECIPIENTS,
      random: random.fork(),
    });
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 });
    onTestFinished(() => pool.end());
    const writer = await startWriter(pool);
    await readers.until(() => readers.deliveries.length > 500, 30_000);
    /** What the connections below were shown. Some of these positions are within a replay's read. */
    const seen: Seen[] = [];
    const wrong: string[] = [];
    const shown: { from: Seen; ids: string[] }[] = [];

    const before = await writer.lastId();
    const startedAt = performance.now();
    await repeat(CONNECTS, async () => {
      const list = random.chance(0.5) && seen.length > 0 ? seen : readers.deliveries;
      // Mostly from the last seconds, because a replay from the beginning takes longer with every row.
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

    const verdict = await judge({ readers, timeoutMs: 10_000 });
    const [connects, rows] = [shown.length, written].map((count) => Math.round(count / seconds));
    report({
      fault: `hand-over, ${whose} slower, ${connects} connects/s, ${rows} rows/s`,
      seed,
      verdict,
    });
    expectExact(verdict, { minReconnects: 0 });
  },
);

test("a page that loads its list and then its stream gets each row once", async () => {
  const random = createRandom(seeds()[0] ?? 0);
  const { databaseUrl, service } = await openDelayed(DELAYS.feed);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 });
  onTestFinished(() => pool.end());
  const notify = (recipientId: string, body: string) =>
    pool.query("select bellwire.notify($1, 'test', body => $2)", [recipientId, body]);
  const got = new Map<string, string[]>();
  let listedDuring = 0;
  /** How long the last list took. The next one's row is written after about that time. */
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
  // Some lists have the row that was written during the request, and some do not.
  expect(listedDuring).toBeGreaterThan(0);
  expect(listedDuring).toBeLessThan(LISTS);
  const sent = LISTS * 5;
  const exact = { sent, delivered: sent, lost: 0, repeated: 0 };
  report({ fault: `list, then stream; ${listedDuring} of ${LISTS} raced`, verdict: exact });
});

function openDelayed({ feedMs, streamMs }: { feedMs: number; streamMs: number }) {
  let opened = 0;
  return openTrial({
    delayMs: () => (opened++ < FEED_CONNECTIONS ? feedMs : streamMs),
    env: { MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "1000000" },
  });
}

/** One session that commits row after row. The server sets the pace, so a busy test process does not slow it down. */
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
    /** The highest committed id. */
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
