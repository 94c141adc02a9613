import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream } from "../../support/event-source.ts";
import { throughRollCall } from "../../support/roll-call.ts";
import { call, openService, type Service, startService } from "../../support/service.ts";

let database: TestDatabase;
let shared: Service;
beforeAll(async () => {
  database = await createDatabase();
  shared = await openService({ databaseUrl: database.url });
  return async () => {
    await shared.close();
    await database.close();
  };
});

/** The shared service, unless the test starts its own. */
let service: Service;
/** Each test has its own recipient. */
let me: string;
let recipients = 0;
beforeEach(() => {
  service = shared;
  me = `recipient ${++recipients}`;
});

async function start(env: Record<string, string> = {}): Promise<void> {
  service = await startService({ databaseUrl: database.url, env });
}

async function notify(title: string, recipientId = me): Promise<string> {
  const [row] = await database.query<{ id: string }>(
    "select bellwire.notify($1, 'note', title => $2)::text as id",
    [recipientId, title],
  );
  return row?.id ?? "";
}

const notifyMany = (count: number) =>
  database.query(
    `insert into bellwire.notifications (recipient_id, type)
     select $1, 'note' from generate_series(1, $2::integer)`,
    [me, count],
  );

const poll = async (since?: string, wait = 0) => {
  const query = since === undefined ? "" : `since=${encodeURIComponent(since)}&`;
  return (await call(service, me, `/poll?${query}wait=${wait}`)).body;
};

const titlesOf = ({ notifications }: { notifications: { title: string }[] }) =>
  notifications.map(({ title }) => title);

describe("a poll", () => {
  test("without a cursor begins now, and returns the badge", async () => {
    await notify("before");
    const { cursor, ...rest } = await poll();
    expect(rest).toEqual({
      notifications: [],
      all: null,
      changes: [],
      removed: [],
      unread: 1,
      unseen: 1,
      reset: null,
    });
    await notify("after");
    expect(titlesOf(await poll(cursor))).toEqual(["after"]);
  });

  test("returns what came and what changed since, once, with the badge and the next cursor", async () => {
    const first = await notify("first");
    const { cursor } = await poll();
    const second = await notify("second");
    const { body } = await call(service, me, `/${first}`, {
      method: "PATCH",
      body: { read: true },
    });
    const { cursor: next, ...answer } = await poll(cursor);
    expect(answer).toEqual({
      notifications: [expect.objectContaining({ id: second, title: "second", readAt: null })],
      changes: [{ id: first, seenAt: body.seenAt, readAt: body.readAt, archivedAt: null }],
      all: null,
      unread: 1,
      unseen: 1,
      removed: [],
      reset: null,
    });
    expect(await poll(next)).toMatchObject({ notifications: [], changes: [], unread: 1 });
    expect(await poll(cursor)).toMatchObject(answer);
  });

  test("accepts the list's cursor and the stream's ids, and the stream accepts its cursors", async () => {
    const { cursor } = (await call(service, me, "/")).body;
    await notify("one");
    const polled = await poll(cursor);
    expect(titlesOf(polled)).toEqual(["one"]);
    await notify("two");
    const stream = await openStream(service, me, { lastEventId: polled.cursor });
    expect((await stream.take(1)).map(({ data }) => data.title)).toEqual(["two"]);
    stream.close();
    await notify("three");
    expect(titlesOf(await poll(stream.lastId()))).toEqual(["three"]);
  });

  test("returns what commits late, as the stream does", async () => {
    const late = await database.connect();
    await late.query("begin");
    await late.query("select bellwire.notify($1, 'note', title => 'late')", [me]);
    const { cursor } = await poll();
    await notify("early");
    const first = await poll(cursor);
    expect(titlesOf(first)).toEqual(["early"]);
    await late.query("commit");
    expect(titlesOf(await poll(first.cursor))).toEqual(["late"]);
  });

  test("fetches a backlog page by page, up to REPLAY_LIMIT", async () => {
    await start({ REPLAY_LIMIT: "500" });
    const { cursor } = await poll();
    await database.query(
      "select bellwire.notify($1, 'note', title => n::text) from generate_series(1, 500) n",
      [me],
    );
    const answer = await poll(cursor);
    expect(titlesOf(answer)).toEqual(Array.from({ length: 500 }, (_, i) => `${i + 1}`));
    await notify("one too many");
    const { cursor: here, ...rest } = await poll(cursor);
    expect(rest).toEqual({
      notifications: [],
      all: null,
      changes: [],
      removed: [],
      unread: 501,
      unseen: 501,
      reset: "too_many",
    });
    expect(await poll(here)).toMatchObject({ notifications: [], reset: null });
  });

  test("ends a response after a megabyte, and the next poll has the rest", async () => {
    await start({ MAX_EVENT_BYTES: "0" });
    let { cursor } = await poll();
    await database.query(
      "select bellwire.notify($1, 'note', title => n::text, body => repeat('x', 400000)) from generate_series(1, 10) n",
      [me],
    );
    const told: string[] = [];
    const sizes: number[] = [];
    while (told.length < 10) {
      const answer = await poll(cursor);
      told.push(...titlesOf(answer));
      sizes.push(answer.notifications.length);
      cursor = answer.cursor;
    }
    expect(told).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 1}`));
    for (const size of sizes) expect(size).toBeLessThanOrEqual(3);
  });

  test.each([
    ["a word", "abc"],
    ["nothing", ""],
    ["a number", "-1"],
    ["of another history", "v1.00000000.3._"],
    ["very long", "x".repeat(10_000)],
  ])("since a cursor that is %s is a reset", async (_, since) => {
    await notify("there");
    const answer = await poll(since);
    expect(answer.reset).toBe(since.startsWith("v1.") ? "epoch_changed" : "cursor_unknown");
    expect(answer).toMatchObject({ notifications: [], unread: 1, unseen: 1 });
    expect(await poll(answer.cursor)).toMatchObject({ notifications: [], reset: null });
  });

  test("uses the last of several cursors", async () => {
    const { cursor } = await poll();
    await notify("new");
    const { body } = await call(service, me, `/poll?since=abc&since=${cursor}`);
    expect(titlesOf(body)).toEqual(["new"]);
    expect((await call(service, me, `/poll?since=${cursor}&since=abc`)).body.reset).toBe(
      "cursor_unknown",
    );
  });

  test.each(["?wait=-1", "?wait=x", "?wait=1&wait=2", "?since[]=a", "?ticket=x"])(
    "%s is refused",
    async (query) => {
      expect((await call(service, me, `/poll${query}`)).body.code).toBe("request_invalid");
    },
  );
});

describe("a poll that waits", () => {
  test("is answered when something comes, with all of one commit", async () => {
    await start();
    const { cursor } = await poll();
    const waiting = poll(cursor, 30);
    await untilWaiting(1);
    await database.query(
      "select bellwire.notify($1, 'note', title => n::text) from generate_series(1, 3) n",
      [me],
    );
    const answer = await waiting;
    expect(titlesOf(answer)).toEqual(["1", "2", "3"]);
    expect(answer).toMatchObject({ unread: 3, unseen: 3 });
    expect(titlesOf(await poll(answer.cursor))).toEqual([]);
  });

  test("is answered when something was marked", async () => {
    await start();
    const id = await notify("one");
    const { cursor } = await poll();
    const waiting = poll(cursor, 30);
    await untilWaiting(1);
    await database.query("update bellwire.notifications set read_at = now() where id = $1", [id]);
    expect(await waiting).toMatchObject({ changes: [{ id }], unread: 0, unseen: 0 });
  });

  test("returns a large mark-all as one, and never in one response with what came before it", async () => {
    await start();
    for (let i = 0; i < 10; i++) await notify(`${i}`);
    const { cursor } = await poll();
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) ids.push(await notify(`${i + 10}`));
    const { cursor: behindThese } = await poll(cursor);
    await call(service, me, "/mark-all-read", { method: "POST", body: {} });
    const readAt = expect.any(String);
    const answer = await poll(behindThese);
    expect(answer).toMatchObject({
      all: { before: ids[9], readAt, seenAt: readAt },
      notifications: [],
      changes: [],
      unread: 0,
    });
    expect(await poll(answer.cursor)).toMatchObject({ all: null, notifications: [] });
    // A client that lacks some of the rows gets them as they are now.
    const late = await poll(cursor);
    expect(late).toMatchObject({ all: null, unread: 0 });
    expect(late.notifications).toHaveLength(10);
    expect(late.changes).toHaveLength(10);

    await notifyMany(12);
    const { cursor: next } = await poll(answer.cursor);
    const waiting = poll(next, 30);
    await untilWaiting(1);
    await call(service, me, "/mark-all-seen", { method: "POST", body: {} });
    const told = await waiting;
    expect(told.all).toEqual({ before: expect.any(String), seenAt: readAt });
    expect(told).toMatchObject({ unread: 12, unseen: 0 });
  });

  test("does not wait if there is something already", async () => {
    const { cursor } = await poll();
    await notify("one");
    expect(titlesOf(await poll(cursor, 30))).toEqual(["one"]);
  });

  test("is answered with nothing after its wait, and the next poll continues from there", async () => {
    const { cursor } = await poll();
    const answer = await poll(cursor, 0.2);
    expect(answer).toMatchObject({ notifications: [], changes: [], reset: null });
    await notify("one");
    expect(titlesOf(await poll(answer.cursor))).toEqual(["one"]);
  });

  test("is not woken by another recipient's notifications", async () => {
    await start();
    const { cursor } = await poll();
    const waiting = poll(cursor, 30);
    await untilWaiting(1);
    await notify("theirs", "a bystander");
    await notify("mine");
    expect(titlesOf(await waiting)).toEqual(["mine"]);
  });

  test("gets 401 when its recipient is revoked, and not the notification of the same commit", async () => {
    await start();
    const { cursor } = await poll();
    const waiting = call(service, me, `/poll?since=${cursor}&wait=30`);
    await untilWaiting(1);
    await database.query(
      "with told as (select bellwire.notify($1, 'note', title => 'last words')) select bellwire.revoke($1) from told",
      [me],
    );
    const { status, body } = await waiting;
    expect({ status, code: body.code }).toEqual({ status: 401, code: "token_invalid" });
  });

  test("gets 401 as soon as its recipient is revoked, even if nothing else comes", async () => {
    await start();
    const waiting = call(service, me, "/poll?wait=30");
    await untilWaiting(1);
    await database.query("select bellwire.revoke($1)", [me]);
    expect((await waiting).body.code).toBe("token_invalid");
  });

  test("waits no longer than its token is valid", async () => {
    const token = await service.token(me, 5);
    const response = await fetch(`${service.url}/api/notifications/poll?wait=30`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(response.status).toBe(200);
  });

  test("counts as a stream while it waits, and no longer", async () => {
    await start({ MAX_STREAMS_PER_RECIPIENT: "2", MAX_STREAMS: "3" });
    const stream = await openStream(service, me);
    await stream.waitFor(({ event }) => event === "ready");
    const waiting = pollUntilToldOf("one");
    await untilWaiting(1);

    const back = () => untilWaiting(1);
    const refused = await throughRollCall(() => call(service, me, "/poll"), back);
    expect({ status: refused.status, code: refused.body.code }).toEqual({
      status: 429,
      code: "too_many_streams",
    });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(30);
    expect((await throughRollCall(() => openStream(service, me), back)).status).toBe(429);

    const third = call(service, "another", "/poll?wait=30");
    await untilWaiting(2);
    const full = await call(service, "one more", "/poll");
    expect({ status: full.status, code: full.body.code }).toEqual({
      status: 503,
      code: "overloaded",
    });
    expect(Number(full.headers.get("retry-after"))).toBeGreaterThanOrEqual(10);

    await notify("one");
    expect(titlesOf(await waiting)).toEqual(["one"]);
    expect((await call(service, me, "/poll")).status).toBe(200);
    await notify("two", "another");
    await third;
  });

  test("whose client has left gives its place back", async () => {
    await start({ MAX_STREAMS_PER_RECIPIENT: "1" });
    const abort = new AbortController();
    const authorization = `Bearer ${await service.token(me)}`;
    const ask = async (): Promise<void> => {
      for (;;)
        await fetch(`${service.url}/api/notifications/poll?wait=30`, {
          headers: { authorization },
          signal: abort.signal,
        });
    };
    const gone = ask();
    const back = () => untilWaiting(1);
    await back();
    expect((await throughRollCall(() => call(service, me, "/poll"), back)).status).toBe(429);
    abort.abort();
    await expect(gone).rejects.toThrow();
    await expect.poll(async () => (await call(service, me, "/poll")).status).toBe(200);
  });

  test("is answered when the service stops", async () => {
    await start();
    const { cursor } = await poll();
    const waiting = poll(cursor, 30);
    await untilWaiting(1);
    await service.close();
    expect(await waiting).toMatchObject({ notifications: [], reset: null, cursor });
  });
});

/** A client that polls again and again. When another request needs a place, its poll is answered early, and it polls again. */
async function pollUntilToldOf(title: string) {
  let { cursor } = await poll();
  for (;;) {
    const answer = await poll(cursor, 30);
    if (titlesOf(answer).includes(title)) return answer;
    cursor = answer.cursor;
  }
}

/** Resolves when this many polls wait. */
async function untilWaiting(count: number): Promise<void> {
  await expect
    .poll(async () => {
      const metrics = await (await fetch(service.metricsUrl)).text();
      return Number(/^bellwire_waiting_polls (\d+)$/m.exec(metrics)?.[1]);
    })
    .toBe(count);
}
