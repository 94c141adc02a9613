import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import express, { type RequestHandler } from "express";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { inboxRoutes } from "../../src/api/inbox.ts";
import type { Cursor } from "../../src/changes/cursor.ts";
import { createLimits } from "../../src/connections/limits.ts";
import { createRollCall } from "../../src/connections/roll-call.ts";
import { createBytesInFlight } from "../../src/db/bytes-in-flight.ts";
import { createChangesReader } from "../../src/db/changes-reader.ts";
import { createInbox, type Inbox } from "../../src/db/inbox.ts";
import { createKnownCounts } from "../../src/db/known-counts.ts";
import { createPool } from "../../src/db/pool.ts";
import { createNotificationEncoder } from "../../src/http/notification-json.ts";
import { createHub } from "../../src/hub/hub.ts";
import { createLogger } from "../../src/logger.ts";
import { createPolls } from "../../src/transports/poll/poll.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openReplays } from "../support/replays.ts";
import { call, type Service, startService } from "../support/service.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

/** Makes notifications of these sizes in kilobytes. Returns the ids. */
async function notify(recipientId: string, kilobytes: number[]): Promise<string[]> {
  const ids: string[] = [];
  for (const size of kilobytes) {
    const [row] = await database.query<{ id: string }>(
      "select bellwire.notify($1, 'note', body => repeat('x', $2))::text as id",
      [recipientId, size * 1000],
    );
    ids.push(row?.id ?? "");
  }
  return ids;
}

async function inFlight(service: Service): Promise<number> {
  const text = await (await fetch(service.metricsUrl)).text();
  return Number(/^bellwire_replay_bytes_in_flight (\d+)$/m.exec(text)?.[1]);
}

/** Sends a request. The socket is paused: it reads nothing of the response until `resume()`. */
async function ask(service: Service, recipientId: string, path: string): Promise<Socket> {
  const client = connect(Number(new URL(service.url).port), "127.0.0.1");
  client.pause().on("error", () => {});
  onTestFinished(() => void client.destroy());
  client.write(
    `GET /api/notifications${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await service.token(recipientId)}\r\n\r\n`,
  );
  return client;
}

/** Serves one route handler alone, for one recipient. */
async function serve(recipientId: string, position: Cursor, handler: RequestHandler) {
  const expiresAt = new Date(Date.now() + 60_000);
  const app = express().use((_req, res, next) => {
    Object.assign(res.locals, { identity: { recipientId, expiresAt }, position });
    next();
  }, handler);
  const server = app.listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a list has at most a megabyte, unless one notification alone is larger; following nextBefore gives all notifications", async () => {
  const service = await startService({
    databaseUrl: database.url,
    // Lists have a quarter of it, which is a tenth of the largest notification.
    env: { MAX_EVENT_BYTES: "0", MAX_REPLAY_BYTES_IN_FLIGHT: "1200000" },
  });
  const ids = await notify("me", [10, 3000, 400, 400, 400, 10]);
  const pages: string[][] = [];
  for (let before = ""; ; ) {
    const { body } = await call(service, "me", `/?limit=100${before}`);
    pages.push(body.notifications.map(({ id }: { id: string }) => id));
    if (body.nextBefore === null) break;
    before = `&before=${body.nextBefore}`;
  }
  const [first, huge, ...rest] = ids as [string, string, string, string, string, string];
  expect(pages).toEqual([[rest[3], rest[2], rest[1]], [rest[0]], [huge], [first]]);
  await expect.poll(() => inFlight(service)).toBe(0);
});

test("a list does not end early if a larger notification arrives during each read", async () => {
  const log = createLogger("silent");
  const pool = createPool({ url: database.url, size: 2, log });
  onTestFinished(pool.close);
  const inbox = createInbox(pool, Number.POSITIVE_INFINITY, createKnownCounts());
  const position = await createChangesReader(pool, 60_000).now();
  const ids = await notify("grower", [1, 1100]);
  const arriving = [1200, 1300];
  const list: Inbox["list"] = async (options) => {
    const read = await inbox.list(options);
    ids.push(...(await notify("grower", arriving.splice(0, 1))));
    return read;
  };
  const answers = { bytesInFlight: createBytesInFlight(1_000_000), stalledMs: 1000 };
  const url = await serve(
    "grower",
    position,
    inboxRoutes(
      { ...inbox, list },
      createNotificationEncoder({ maxEventBytes: Number.POSITIVE_INFINITY, log }),
      answers,
    ),
  );
  const response = await fetch(url);
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  const { notifications, nextBefore }: any = await response.json();
  expect(notifications.map(({ id }: { id: string }) => id)).toEqual([ids[3]]);
  expect(nextBefore).toBe(ids[3]);
});

test("a client that reads nothing is cut after STALLED_SECONDS; then the next request is answered, and a client that has left is skipped", async () => {
  const service = await startService({
    databaseUrl: database.url,
    env: { MAX_EVENT_BYTES: "0", MAX_REPLAY_BYTES_IN_FLIGHT: "4194304", STALLED_SECONDS: "1" },
  });
  const [huge] = await notify("slow", [40_000]);
  await notify("quick", [1]);
  const slow = await ask(service, "slow", `/${huge}`);
  await expect.poll(() => inFlight(service)).toBeGreaterThan(40_000_000);
  const leaving = new AbortController();
  const left = fetch(`${service.url}/api/notifications`, {
    headers: { authorization: `Bearer ${await service.token("quick")}` },
    signal: leaving.signal,
  }).catch(() => "left");
  const waiting = call(service, "quick", "/");
  leaving.abort();
  expect(await left).toBe("left");
  expect((await waiting).body.notifications).toHaveLength(1);
  await expect.poll(() => inFlight(service)).toBe(0);
  slow.resume();
  await once(slow, "close");
  expect(service.logged()).not.toContain("request failed");
});

test("a poll that has more than the limit gets what fits, and the next poll gets the rest", async () => {
  const service = await startService({
    databaseUrl: database.url,
    env: { MAX_EVENT_BYTES: "0", MAX_REPLAY_BYTES_IN_FLIGHT: "200000" },
  });
  let { cursor } = (await call(service, "poller", "/poll")).body;
  const ids = await notify("poller", [40, 40, 40, 40, 500, 40, 1]);
  const told: string[][] = [];
  while (told.flat().length < ids.length) {
    const { body } = await call(service, "poller", `/poll?since=${cursor}`);
    told.push(body.notifications.map(({ id }: { id: string }) => id));
    cursor = body.cursor;
  }
  expect(told.flat()).toEqual(ids);
  expect(told.length).toBeGreaterThan(2);
  await expect.poll(() => inFlight(service)).toBe(0);
});

test("a poll without `since` reserves nothing for what it skips while it waits", async () => {
  const log = createLogger("silent");
  const pool = createPool({ url: database.url, size: 2, log });
  onTestFinished(pool.close);
  const position = await createChangesReader(pool, 60_000).now();
  await notify("starter", [40]);
  const bytesInFlight = createBytesInFlight(1_000_000);
  const taken: number[] = [];
  const read = openReplays({ pool, knownEpoch: () => position.epoch, bytesInFlight });
  const limits = createLimits({ maxStreams: 10, maxStreamsPerRecipient: 10 });
  const polls = createPolls({
    hub: createHub(),
    read: async (...args) => {
      const page = await read(...args);
      taken.push(bytesInFlight.reserved());
      return page;
    },
    replayLimit: 1000,
    encoder: createNotificationEncoder({ maxEventBytes: 60_000, log }),
    answers: { bytesInFlight, stalledMs: 1000 },
    limits,
    rollCall: createRollCall(limits),
    findStanding: async () => ({ isRefused: false, isAhead: false, revokedAt: null }),
  });
  const url = await serve("starter", position, polls.route);
  const answered = fetch(`${url}/?wait=30`);
  await expect.poll(() => taken.length).toBe(1);
  expect(taken[0]).toBeGreaterThan(40_000);
  await expect.poll(() => bytesInFlight.reserved()).toBe(0);
  polls.close();
  expect(await (await answered).json()).toMatchObject({ notifications: [], unread: 1 });
});

test("a client that reads a little now and then is cut after STALLED_SECONDS as well", async () => {
  const service = await startService({
    databaseUrl: database.url,
    env: { MAX_EVENT_BYTES: "0", STALLED_SECONDS: "2" },
  });
  const [huge] = await notify("sipping", [40_000]);
  const client = await ask(service, "sipping", `/${huge}`);
  await expect.poll(() => inFlight(service)).toBeGreaterThan(40_000_000);
  const sipping = setInterval(() => client.read(), 100);
  onTestFinished(() => clearInterval(sipping));
  // Sooner than the ten seconds after which requests that wait for these bytes get 503.
  await expect.poll(() => inFlight(service), { timeout: 9000 }).toBe(0);
  expect(client.bytesRead).toBeLessThan(40_000_000);
});

test("a request that has waited ten seconds for its bytes gets 503; a mark waits only for the bytes of its response", async () => {
  const service = await startService({
    databaseUrl: database.url,
    // A quarter of it is 15 MB.
    env: { MAX_REPLAY_BYTES_IN_FLIGHT: "60000000" },
  });
  const [held] = await notify("holder", [14_900]);
  const [large] = await notify("other", [50_000]);
  await ask(service, "holder", `/${held}`);
  await expect.poll(() => inFlight(service)).toBeGreaterThan(14_900_000);
  const askedAt = performance.now();
  const path = `/${large}`;
  const marked = await call(service, "other", path, { method: "PATCH", body: { read: true } });
  expect(marked).toMatchObject({ status: 200, body: { truncated: true } });
  expect(performance.now() - askedAt).toBeLessThan(5000);
  const late = await Promise.all([call(service, "other", "/"), call(service, "other", path)]);
  for (const { status, body, headers } of late) {
    expect([status, body.code]).toEqual([503, "overloaded"]);
    expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(10);
  }
  expect(performance.now() - askedAt).toBeLessThan(17_000);
  expect(await inFlight(service)).toBeGreaterThan(14_900_000);
  expect(service.logged()).not.toContain("request failed");
});

test("a poll that has waited ten seconds for its bytes gets 503; a poll keeps its place until its client has the response", async () => {
  const service = await startService({
    databaseUrl: database.url,
    env: {
      MAX_EVENT_BYTES: "0",
      MAX_REPLAY_BYTES_IN_FLIGHT: "4194304",
      MAX_STREAMS_PER_RECIPIENT: "1",
    },
  });
  const { cursor } = (await call(service, "holder", "/poll")).body;
  const other = (await call(service, "other", "/poll")).body.cursor;
  await notify("holder", [20_000]);
  await notify("other", [1]);
  const holder = await ask(service, "holder", `/poll?since=${cursor}`);
  await expect.poll(() => inFlight(service)).toBeGreaterThan(20_000_000);
  const waiting = call(service, "other", `/poll?since=${other}`);
  expect(await call(service, "holder", `/poll?since=${cursor}`)).toMatchObject({ status: 429 });
  expect(await waiting).toMatchObject({ status: 503, body: { code: "overloaded" } });
  holder.destroy();
  const again = await call(service, "other", `/poll?since=${other}`);
  expect(again.body.notifications).toHaveLength(1);
  expect((await call(service, "holder", "/poll")).status).toBe(200);
});

test("a recipient whose clients read no response delays no other recipient", async () => {
  const service = await startService({
    databaseUrl: database.url,
    env: {
      MAX_EVENT_BYTES: "0",
      // 16 MB for lists, 48 MB for polls.
      MAX_REPLAY_BYTES_IN_FLIGHT: "64000000",
      MAX_STREAMS_PER_RECIPIENT: "20",
    },
  });
  const since = (await call(service, "crowd", "/poll")).body.cursor;
  const [id] = await notify("crowd", [6000]);
  await notify("passer-by", [1]);
  for (let i = 0; i < 10; i++)
    for (const path of ["/", `/${id}`, `/poll?since=${since}`]) await ask(service, "crowd", path);
  // One list and one poll have their 6 MB, and all others wait. Before that, what is only being measured holds a megabyte each.
  const isSettled = (bytes: number) => bytes > 12_000_000 && bytes < 12_010_000;
  await expect.poll(() => inFlight(service)).toSatisfy(isSettled);
  const askedAt = performance.now();
  const paths = ["/", `/poll?since=${since}`, "/"];
  const answers = await Promise.all(paths.map((path) => call(service, "passer-by", path)));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(performance.now() - askedAt).toBeLessThan(5000);
  await expect.poll(() => inFlight(service)).toSatisfy(isSettled);
});
