import fc from "fast-check";
import { expect, test } from "vitest";
import { type Cursor, encodeCursor, parseCursor } from "../../src/changes/cursor.ts";
import { createFeed } from "../../src/feed/feed.ts";
import type { RecipientEvent } from "../../src/hub/events.ts";
import { follow, type Sink } from "../../src/hub/follow.ts";
import { createHub } from "../../src/hub/hub.ts";
import { createLogger } from "../../src/logger.ts";
import { createHistory } from "../support/history.ts";

const log = createLogger("silent");
const RECIPIENTS = ["1", "2"];
const index = fc.nat({ max: 5 });

/** Steps that happen in any order. The feed and the streams are real; the transactions are simulated. */
const commands = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("begin" as const) }),
    fc.record({ do: fc.constant("insert" as const), index, who: fc.constantFrom(...RECIPIENTS) }),
    fc.record({ do: fc.constant("update" as const), index, row: fc.nat({ max: 20 }) }),
    fc.record({ do: fc.constant("markAll" as const), index, who: fc.constantFrom(...RECIPIENTS) }),
    // A transaction of one statement, between the steps of the others.
    fc.record({ do: fc.constant("notify" as const), who: fc.constantFrom(...RECIPIENTS) }),
    fc.record({ do: fc.constant("clearAll" as const), who: fc.constantFrom(...RECIPIENTS) }),
    fc.record({ do: fc.constant("delete" as const), index, row: fc.nat({ max: 20 }) }),
    fc.record({
      do: fc.constant("move" as const),
      index,
      row: fc.nat({ max: 20 }),
      who: fc.constantFrom(...RECIPIENTS),
    }),
    fc.record({ do: fc.constant("commit" as const), index }),
    fc.record({ do: fc.constant("rollBack" as const), index }),
    fc.record({ do: fc.constant("wake" as const) }),
    fc.record({
      do: fc.constant("connect" as const),
      who: fc.constantFrom(...RECIPIENTS),
      hasList: fc.boolean(),
    }),
    fc.record({ do: fc.constant("sever" as const), index, after: fc.nat({ max: 3 }) }),
    fc.record({ do: fc.constant("resume" as const), index }),
    fc.record({ do: fc.constant("choke" as const), index }),
    fc.record({ do: fc.constant("proceed" as const) }),
    fc.record({ do: fc.constant("proceed" as const) }),
    fc.record({ do: fc.constant("settle" as const) }),
  ),
  { minLength: 20, maxLength: 120 },
);

/**
 * One client over all its connections. It resumes with the id of the last event it got, and applies events as docs/api.md says.
 * Severed, it gets a few more events, and the rest of what the service writes is lost. Choked, it takes one more event, and then
 * none until it has drained.
 */
function createClient(recipientId: string, lastId?: string) {
  /** The notifications that rang, by id and inserting transaction: a row that was taken away and given back rings again. */
  const notified: string[] = [];
  const held = new Map<bigint, string | null>();
  let unread: number | undefined;
  let isChoked = false;
  let eventsLeft = Number.POSITIVE_INFINITY;

  return {
    recipientId,
    notified,
    held,
    lastId: () => lastId,
    /** Its unread count; undefined when it does not get every event. */
    badge: () => (eventsLeft > 1e9 ? unread : undefined),
    choke: () => {
      isChoked = true;
    },
    severAfter: (events: number) => {
      eventsLeft = Math.min(eventsLeft, events);
    },
    sink(drained: () => Promise<void>): Sink {
      eventsLeft = Number.POSITIVE_INFINITY;
      return {
        ready(counts, resumeAt) {
          if (eventsLeft-- <= 0) return;
          unread = counts.unread;
          lastId = resumeAt === "unknown" ? resumeAt : encodeCursor(resumeAt);
        },
        send(event: RecipientEvent) {
          if (eventsLeft-- <= 0) return true;
          lastId = encodeCursor(event.cursor);
          unread = event.counts.unread;
          if (event.kind === "notification") {
            notified.push(arrivalOf(event.change));
            held.set(event.change.id, event.change.readAt);
          } else {
            const { all } = event;
            for (const [id, readAt] of held)
              if (all && id <= all.before && readAt === null) held.set(id, all.readAt);
            for (const { id } of event.removed) held.delete(id);
            for (const { id, readAt } of event.changes) if (held.has(id)) held.set(id, readAt);
          }
          return !isChoked;
        },
        async drained() {
          await drained();
          isChoked = false;
        },
        reset: (reason) => expect.fail(`unexpected reset: ${reason}`),
        checkToken: () => expect.fail("unexpected revocation"),
        fail: (error) => expect.fail(`unexpected failure: ${error}`),
      };
    },
  };
}

const arrivalOf = ({ id, createdXid }: { id: bigint; createdXid: bigint }) => `${id}/${createdXid}`;

/** Runs the steps through the real feed, hub and followers. The scheduler decides when each read begins and when it ends. */
async function run(
  steps: ReturnType<typeof commands.generate>["value"],
  scheduler: fc.Scheduler,
  pageSize: number,
  farBehindEvery: number,
) {
  const history = createHistory();
  const hub = createHub();
  const turn = () => scheduler.schedule(Promise.resolve());
  /** Waits until nothing is left to do. `waitIdle` alone may look between two promises of a chain. */
  const settle = async () => {
    do {
      await scheduler.waitIdle();
      await new Promise(setImmediate);
    } while (scheduler.count() > 0);
  };
  const read = async (from: Cursor, recipientId: string | null) => {
    await turn();
    const page = history.read(from, recipientId, pageSize);
    await turn();
    return page;
  };
  let pages = 0;
  const feed = createFeed({
    adoptRestoredRows: async () => {},
    now: async () => history.now(),
    async read(from) {
      const page = await read(from, null);
      // Sometimes the feed is so far behind that every stream reads for itself.
      return ++pages % farBehindEvery === 0 ? { ...page, remaining: 1_000_000 } : page;
    },
    publish: hub.publish,
    readAgain: hub.readAgain,
    suspendWakeups: async () => {},
    onRead: () => {},
    explain: String,
    sweepMs: 1_000_000,
    tickMs: 1e-6,
    wakeupsPerSecondBusy: 0,
    log,
  });
  feed.wake();
  await settle();

  type Client = ReturnType<typeof createClient>;
  const clients: { client: Client; follower: ReturnType<typeof follow> }[] = [];
  /** The rows that existed when the client first connected. */
  const existing = new Map<Client, Set<string>>();
  function list(client: Client) {
    const rows = history.rowsOf(client.recipientId);
    existing.set(client, new Set(rows.map(arrivalOf)));
    for (const { id, readAt } of rows) client.held.set(id, readAt);
  }
  async function connect(client: Client) {
    const lastId = client.lastId();
    const follower = follow({
      hub,
      recipientId: client.recipientId,
      since: lastId === undefined ? "now" : (parseCursor(lastId) ?? "unknown"),
      position: feed.position() ?? expect.fail("the feed has no position"),
      source: { read },
      replayLimit: 1000,
      sink: client.sink(turn),
    });
    // A stream without a cursor begins at its first read.
    if (lastId === undefined) {
      await settle();
      list(client);
    }
    return follower;
  }
  async function resume(connection: (typeof clients)[number] | undefined) {
    connection?.follower.close();
    if (connection) connection.follower = await connect(connection.client);
  }
  const pick = (i: number) => clients[i % Math.max(1, clients.length)];

  function atOnce(write: (transaction: number) => void) {
    const transaction = history.begin();
    write(transaction);
    history.commit(transaction);
    feed.wake();
  }

  for (const step of steps) {
    if (step.do === "wake") feed.wake();
    else if (step.do === "settle") await settle();
    else if (step.do === "notify") atOnce((transaction) => history.insert(transaction, step.who));
    else if (step.do === "clearAll")
      atOnce((transaction) => history.markAll(transaction, step.who));
    else if (step.do === "begin") history.begin();
    else if (step.do === "insert") history.insert(step.index, step.who);
    else if (step.do === "update") history.update(step.index, step.row);
    else if (step.do === "markAll") history.markAll(step.index, step.who);
    else if (step.do === "delete") history.delete(step.index, step.row);
    else if (step.do === "move") history.move(step.index, step.row, step.who);
    else if (step.do === "commit") history.commit(step.index);
    else if (step.do === "rollBack") history.rollBack(step.index);
    else if (step.do === "choke") pick(step.index)?.client.choke();
    else if (step.do === "proceed" && scheduler.count() > 0) await scheduler.waitOne();
    else if (step.do === "sever") pick(step.index)?.client.severAfter(step.after);
    else if (step.do === "resume") await resume(pick(step.index));
    else if (step.do === "connect") {
      const lastId = step.hasList ? encodeCursor(history.now()) : undefined;
      const client = createClient(step.who, lastId);
      if (step.hasList) list(client);
      clients.push({ client, follower: await connect(client) });
    }
  }
  history.endAll();
  feed.wake();
  await settle();
  const badges = clients.map(({ client }) => client.badge());
  for (const connection of clients) await resume(connection);
  await settle();
  for (const { follower } of clients) follower.close();
  feed.close();
  return clients.map(({ client }, i) => ({
    ...client,
    badgeBefore: badges[i],
    unread: history.unreadOf(client.recipientId),
    existing: existing.get(client) ?? new Set(),
    rows: history.rowsOf(client.recipientId),
  }));
}

test("every client holds what its recipient has, and each notification rang once, wherever its connections were cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      commands,
      fc.scheduler(),
      fc.constantFrom(1, 2, 3, 1000),
      fc.constantFrom(2, 5, Number.POSITIVE_INFINITY),
      async (steps, scheduler, ...sizes) => {
        for (const client of await run(steps, scheduler, ...sizes)) {
          // Each rang once. A row that was deleted or moved away soon may never have rung.
          expect(new Set(client.notified).size).toBe(client.notified.length);
          const rung = new Set(client.notified);
          for (const arrival of client.rows.map(arrivalOf))
            expect(rung.has(arrival)).toBe(!client.existing.has(arrival));
          expect(client.held).toEqual(new Map(client.rows.map(({ id, readAt }) => [id, readAt])));
          // A client that was not severed has got every change, and the last one had the present unread count.
          if (client.badgeBefore !== undefined) expect(client.badgeBefore).toBe(client.unread);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
