import { once } from "node:events";
import { connect } from "node:net";
import request from "supertest";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readVersion } from "../../src/version.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream } from "../support/event-source.ts";
import { call, openService, type Service, startService } from "../support/service.ts";

const BIGGEST = (2n ** 63n - 1n).toString();
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  return database.close;
});

let service: Service;
beforeAll(async () => {
  service = await openService({ databaseUrl: database.url });
  return service.close;
});

/** Each test has its own recipient. */
let me: string;
let recipients = 0;
beforeEach(() => {
  me = `recipient ${++recipients}`;
});

interface Listed {
  id: string;
  title: string;
}

/** Inserts one notification for each title and returns their ids. */
async function notify(recipientId: string, titles: string[], type = "note"): Promise<string[]> {
  const rows = await database.query<{ id: string | null }>(
    "select bellwire.notify($1, $2, title => title)::text as id from unnest($3::text[]) title",
    [recipientId, type, titles],
  );
  return rows.map(({ id }) => id ?? "");
}

const list = async (query = "", recipientId = me) =>
  (await call(service, recipientId, `/${query}`)).body;
const titlesOf = ({ notifications }: { notifications: Listed[] }) =>
  notifications.map(({ title }) => title);
const patch = (id: string, body: unknown, recipientId = me) =>
  call(service, recipientId, `/${id}`, { method: "PATCH", body });
const markAll = (body?: unknown) => call(service, me, "/mark-all-read", { method: "POST", body });

describe("GET /", () => {
  test("a notification has the contract's fields, ids as strings and times as RFC 3339", async () => {
    const data = { messageId: 9, quote: "\"'\\\n😀" };
    await database.query(
      "select bellwire.notify($1, 'message.received', '7', 'Title', 'Body 😀\n\"', '/messages/7', $2)",
      [me, JSON.stringify(data)],
    );
    const { notifications, ...rest } = await list();
    expect(notifications).toEqual([
      {
        id: expect.stringMatching(/^\d+$/),
        type: "message.received",
        actorId: "7",
        title: "Title",
        body: 'Body 😀\n"',
        link: "/messages/7",
        data,
        createdAt: expect.stringMatching(RFC3339),
        seenAt: null,
        readAt: null,
        archivedAt: null,
      },
    ]);
    expect(rest).toEqual({
      nextBefore: null,
      unread: 1,
      unseen: 1,
      cursor: expect.stringMatching(/^v1\.[A-Za-z0-9._-]+$/),
    });
  });

  test("an empty inbox is a list, not an error", async () => {
    expect(await list()).toMatchObject({
      notifications: [],
      nextBefore: null,
      unread: 0,
      unseen: 0,
    });
  });

  test("pages are newest first, without gap or repeat, while new notifications arrive", async () => {
    await notify(me, ["1", "2", "3", "4", "5"]);
    const first = await list("?limit=2");
    expect(titlesOf(first)).toEqual(["5", "4"]);
    expect(first.nextBefore).toBe(first.notifications[1].id);
    await notify(me, ["6"]);
    const second = await list(`?limit=2&before=${first.nextBefore}`);
    expect(titlesOf(second)).toEqual(["3", "2"]);
    const last = await list(`?limit=2&before=${second.nextBefore}`);
    expect(titlesOf(last)).toEqual(["1"]);
    expect(last.nextBefore).toBeNull();
    expect(titlesOf(await list(`?before=${last.notifications[0].id}`))).toEqual([]);
  });

  test("an exactly full last page has no nextBefore", async () => {
    await notify(me, ["1", "2"]);
    expect((await list("?limit=2")).nextBefore).toBeNull();
  });

  test("the default limit is 20 and the maximum 100", async () => {
    await notify(
      me,
      Array.from({ length: 101 }, (_, i) => `${i}`),
    );
    expect((await list()).notifications).toHaveLength(20);
    for (const limit of [100, 101, 1_000_000]) {
      const { notifications, nextBefore, unread } = await list(`?limit=${limit}`);
      expect(notifications).toHaveLength(100);
      expect(nextBefore).toBe(notifications.at(-1).id);
      expect(unread).toBe(101);
    }
  });

  test("filters: all but archived ones, unread ones, archived ones only, one type", async () => {
    const [unread = "", read = "", archived = ""] = await notify(me, ["unread", "read", "gone"]);
    await notify(me, ["other"], "other.type");
    await patch(read, { read: true });
    await patch(archived, { archived: true });
    expect(titlesOf(await list())).toEqual(["other", "read", "unread"]);
    expect(titlesOf(await list("?filter=all"))).toEqual(["other", "read", "unread"]);
    expect(titlesOf(await list("?filter=unread"))).toEqual(["other", "unread"]);
    expect(titlesOf(await list("?filter=archived"))).toEqual(["gone"]);
    expect(titlesOf(await list("?type=other.type"))).toEqual(["other"]);
    expect(titlesOf(await list("?type=note&filter=unread"))).toEqual(["unread"]);
    expect(titlesOf(await list("?type=no.such"))).toEqual([]);
    // The badge counts the whole inbox, whatever the filter.
    expect(await list("?filter=archived")).toMatchObject({ unread: 2, unseen: 2 });
    await patch(unread, { archived: true });
    expect(await list()).toMatchObject({ unread: 1, unseen: 1 });
  });

  test("a recipient sees only its own notifications", async () => {
    await notify("somebody else", ["theirs"]);
    await notify(me, ["mine"]);
    expect(titlesOf(await list())).toEqual(["mine"]);
    expect(await list()).toMatchObject({ unread: 1, unseen: 1 });
  });

  test("a stream from the list's cursor gets exactly what came after the list", async () => {
    const [first = ""] = await notify(me, ["before"]);
    // Its id was assigned before the list was read, and it commits afterwards, so the list cannot have it.
    const late = await database.connect();
    await late.query("begin");
    await late.query("select bellwire.notify($1, 'note', title => 'late')", [me]);

    const { notifications, cursor, unread } = await list();
    expect({ titles: titlesOf({ notifications }), unread }).toEqual({
      titles: ["before"],
      unread: 1,
    });
    await late.query("commit");
    await notify(me, ["after"]);
    await patch(first, { read: true });

    for (const options of [{ query: `?lastEventId=${cursor}` }, { lastEventId: cursor }]) {
      const stream = await openStream(service, me, options);
      const told = await stream.take(2);
      expect(told.map(({ data }) => data.title)).toEqual(["late", "after"]);
      const { data } = await stream.waitFor(({ data }) => data.changes?.length > 0);
      expect(data).toMatchObject({ changes: [{ id: first }], unread: 2 });
      // The next event shows that nothing else was sent.
      await notify(me, ["sentinel"]);
      const [sentinel] = await stream.take(1);
      expect(sentinel?.data.title).toBe("sentinel");
      // The sentinel of the first stream was deleted.
      const changes = stream.events.flatMap(({ data }) => data.changes ?? []);
      expect(changes).toHaveLength(1);
      await database.query("delete from bellwire.notifications where title = 'sentinel'");
    }
  });

  test("nothing is lost between the list and the stream, whenever it is inserted", async () => {
    let inserted = 0;
    let isDone = false;
    const writing = (async () => {
      while (!isDone) await notify(me, [`${++inserted}`]);
    })();
    for (let round = 0; round < 20; round++) {
      const { notifications, cursor, unread } = await list("?limit=100");
      const newest = Number(notifications[0]?.title ?? 0);
      expect(unread).toBe(newest);
      const stream = await openStream(service, me, { query: `?lastEventId=${cursor}` });
      const [next, afterNext] = await stream.take(2);
      expect([next?.data.title, afterNext?.data.title]).toEqual([`${newest + 1}`, `${newest + 2}`]);
      stream.close();
    }
    isDone = true;
    await writing;
  });

  test.each([
    "?limit=0",
    "?limit=-1",
    "?limit=1.5",
    "?limit=many",
    "?limit=1e400",
    "?limit=1&limit=2",
    "?limit[]=1",
    "?limit[a]=1",
    "?before=0x10",
    "?before=-1",
    "?before=9223372036854775808",
    "?before=1%00",
    "?before=1&before=2",
    "?filter=read",
    "?filter=",
    "?type=",
    "?type=a%00b",
    `?type=${"x".repeat(201)}`,
    "?recipientId=1",
    "?__proto__=1",
  ])("%s is refused with 400", async (query) => {
    expectProblem(await call(service, me, `/${query}`), 400, "request_invalid");
  });

  test.each([
    "?type=%FF%FE",
    "?type=%ED%A0%80",
    "?type=%F0%9F%98%80",
    "?before=0",
    `?before=${BIGGEST}`,
  ])("%s is unusual but valid", async (query) => {
    expect((await call(service, me, `/${query}`)).status).toBe(200);
  });
});

test("GET /unread-count counts the unread notifications, and the unseen ones among them", async () => {
  const [one = "", two = "", three = ""] = await notify(me, ["1", "2", "3", "4"]);
  const count = async () => (await call(service, me, "/unread-count")).body;
  expect(await count()).toEqual({ count: 4, unseen: 4 });
  await patch(one, { seen: true });
  expect(await count()).toEqual({ count: 4, unseen: 3 });
  await patch(two, { read: true });
  expect(await count()).toEqual({ count: 3, unseen: 2 });
  await patch(three, { archived: true });
  expect(await count()).toEqual({ count: 2, unseen: 1 });
  await patch(three, { archived: false });
  expect(await count()).toEqual({ count: 3, unseen: 2 });
});

describe("PATCH /:id", () => {
  test("marking read also marks seen, and returns the notification", async () => {
    const [id = ""] = await notify(me, ["hello"]);
    const { status, body } = await patch(id, { read: true });
    expect(status).toBe(200);
    expect(body).toMatchObject({ id, title: "hello", archivedAt: null });
    expect(body.readAt).toMatch(RFC3339);
    expect(body.seenAt).toBe(body.readAt);
    expect((await list()).notifications[0]).toEqual(body);
  });

  test("marking unread leaves it seen; seen and archived can be undone too", async () => {
    const [id = ""] = await notify(me, ["hello"]);
    const { seenAt } = (await patch(id, { read: true })).body;
    expect((await patch(id, { read: false })).body).toMatchObject({ readAt: null, seenAt });
    expect((await patch(id, { seen: false })).body).toMatchObject({ readAt: null, seenAt: null });
    const { archivedAt } = (await patch(id, { archived: true })).body;
    expect(archivedAt).toMatch(RFC3339);
    expect((await patch(id, { archived: false })).body).toMatchObject({ archivedAt: null });
  });

  test("a read notification is seen, whatever else the request says", async () => {
    const [id = ""] = await notify(me, ["hello"]);
    const { body } = await patch(id, { read: true, seen: false, archived: true });
    expect(body.seenAt).toBe(body.readAt);
    expect(body.archivedAt).not.toBeNull();
  });

  test("a mark that is already set keeps its time, and no event is sent", async () => {
    const [id = ""] = await notify(me, ["hello"]);
    const { body: before } = await patch(id, { read: true, seen: true, archived: true });
    const stream = await openStream(service, me);
    await stream.waitFor(({ event }) => event === "ready");
    for (const marks of [{ read: true, seen: true, archived: true }, { read: true }, {}])
      expect((await patch(id, marks)).body).toEqual(before);
    await patch(id, { archived: false });
    const { data } = await stream.waitFor(({ event }) => event === "state");
    expect(data.changes).toEqual([
      { id, seenAt: before.seenAt, readAt: before.readAt, archivedAt: null },
    ]);
  });

  test("an unknown notification and another recipient's get the same response, and nothing changes", async () => {
    const [theirs = ""] = await notify("their owner", ["theirs"]);
    const unknown = await patch(BIGGEST, { read: true });
    const anothers = await patch(theirs, { read: true });
    for (const answer of [unknown, anothers]) expectProblem(answer, 404, "notification_unknown");
    const { requestId: _, ...body } = unknown.body;
    expect(anothers.body).toMatchObject(body);
    expect([...anothers.headers.keys()]).toEqual([...unknown.headers.keys()]);
    expect((await list("", "their owner")).notifications[0]).toMatchObject({ readAt: null });
  });

  test.each([
    "abc",
    "-1",
    "1.5",
    "0x1",
    "1e3",
    "9223372036854775808",
    "9".repeat(400),
    "1%00",
    "%20",
  ])("the id %s is refused with 400", async (id) => {
    expectProblem(await patch(id, { read: true }), 400, "request_invalid");
  });

  test.each([
    ["not an object", "[]"],
    ["a string instead of a boolean", '{"read": "true"}'],
    ["a number instead of a boolean", '{"read": 1}'],
    ["null instead of a boolean", '{"read": null}'],
    ["an unknown field", '{"read": true, "title": "x"}'],
    ["a prototype", '{"__proto__": {"read": true}}'],
  ])("a body that is %s is refused with 400", async (_, body) => {
    expectProblem(await send(body), 400, "request_invalid");
  });

  test.each([
    ["half a body", '{"read": tr', "application/json", 400, "request_malformed"],
    ["a bare null", "null", "application/json", 400, "request_invalid"],
    ["deep nesting", "[".repeat(8000), "application/json", 400, "request_malformed"],
    ["a form", "read=true", "application/x-www-form-urlencoded", 415, "body_not_json"],
    ["17 KB", `{"x": "${"x".repeat(17_000)}"}`, "application/json", 413, "body_too_large"],
    ["another charset", "{}", "application/json; charset=latin1", 415, "body_encoding"],
  ])("%s is a problem of the client, with its own code", async (_, body, type, status, code) => {
    expectProblem(await send(body, type), status, code);
  });

  test.each([
    ["a length of 10 GB", "Content-Length: 10000000000", ""],
    [
      "more than 16 KB, without a length",
      "Transfer-Encoding: chunked",
      `4e20\r\n${" ".repeat(20_000)}`,
    ],
  ])(
    "a body with %s is refused before its end, and its connection is closed",
    async (_, header, beginning) => {
      await sendOpenEnded(header, beginning);
    },
  );

  test("a URL that cannot be decoded is 400", async () => {
    expectProblem(await patch("%E0%A4%A", { read: true }), 400, "request_malformed");
  });

  async function sendOpenEnded(header: string, beginning: string) {
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("error", () => {}); // "close" follows
    socket.write(
      [
        "PATCH /api/notifications/1 HTTP/1.1",
        "Host: bellwire.test",
        `Authorization: Bearer ${await service.token(me)}`,
        "Content-Type: application/json",
        header,
        "",
        beginning,
      ].join("\r\n"),
    );
    await once(socket, "close");
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('"code":"body_too_large"');
  }

  async function send(body: string, type = "application/json") {
    const [id] = await notify(me, ["hello"]);
    const response = await fetch(`${service.url}/api/notifications/${id}`, {
      method: "PATCH",
      headers: { authorization: `Bearer ${await service.token(me)}`, "content-type": type },
      body,
    });
    // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
    const answer: any = await response.json();
    return { status: response.status, headers: response.headers, body: answer };
  }
});

describe("POST /mark-all-read", () => {
  test("marks everything unread as read, and returns how many", async () => {
    const [, read = "", archived = ""] = await notify(me, ["1", "2", "3"]);
    await notify("a bystander", ["theirs"]);
    const { readAt } = (await patch(read, { read: true })).body;
    await patch(archived, { archived: true });
    expect((await markAll()).body).toEqual({ changed: 1 });
    expect((await markAll({})).body).toEqual({ changed: 0 });
    const { notifications, unread, unseen } = await list();
    expect({ unread, unseen }).toEqual({ unread: 0, unseen: 0 });
    expect(notifications[0].readAt).toBe(readAt);
    expect(notifications[1].seenAt).toBe(notifications[1].readAt);
    expect(await list("", "a bystander")).toMatchObject({ unread: 1 });
  });

  test("with `before`, newer notifications stay unread", async () => {
    const [, second = ""] = await notify(me, ["1", "2", "3"]);
    expect((await markAll({ before: second })).body).toEqual({ changed: 2 });
    expect(titlesOf(await list("?filter=unread"))).toEqual(["3"]);
  });

  test("with `type`, other types stay unread", async () => {
    await notify(me, ["1", "2"], "other.type");
    const [last = ""] = await notify(me, ["3"]);
    const body = { type: "other.type", before: last };
    expect((await markAll(body)).body).toEqual({ changed: 2 });
    expect(titlesOf(await list("?filter=unread"))).toEqual(["3"]);
  });

  describe("with the list's `cursor`", () => {
    const markWith = (as: string, body: unknown) =>
      call(service, me, `/mark-all-${as}`, { method: "POST", body });

    /** A page lists one notification. Only then a notification with an earlier id commits. */
    async function listBeforeLateCommit() {
      const late = await database.connect();
      await late.query("begin");
      const { rows } = await late.query(
        "select bellwire.notify($1, 'note', title => 'late') as id",
        [me],
      );
      const [shown = ""] = await notify(me, ["shown"]);
      const { cursor, notifications } = await list();
      expect(titlesOf({ notifications })).toEqual(["shown"]);
      expect(BigInt(rows[0].id)).toBeLessThan(BigInt(shown));
      await late.query("commit");
      return { cursor, shown };
    }

    test.each(["read", "seen"])(
      "a notification that commits late is not marked %s, although its id is smaller",
      async (as) => {
        const { cursor, shown } = await listBeforeLateCommit();
        await notify(me, ["next"]);
        expect((await markWith(as, { cursor, before: shown })).body).toEqual({ changed: 1 });
        const { notifications } = await list();
        const mark = as === "read" ? "readAt" : "seenAt";
        expect(
          notifications.map((one: Record<string, unknown>) => [one.title, one[mark] !== null]),
        ).toEqual([
          ["next", false],
          ["shown", true],
          ["late", false],
        ]);
        expect((await markWith(as, { cursor: (await list()).cursor })).body).toEqual({
          changed: 2,
        });
      },
    );

    test("the id of any event is a valid cursor, also in the middle of a read", async () => {
      const stream = await openStream(service, me);
      await stream.waitFor(({ event }) => event === "ready");
      await database.query(
        "select bellwire.notify($1, 'note', title => n::text) from generate_series(1, 3) n",
        [me],
      );
      const [, second] = await stream.take(3);
      expect((await markWith("read", { cursor: second?.id })).body).toEqual({ changed: 2 });
      expect(titlesOf(await list("?filter=unread"))).toEqual(["3"]);
    });

    test("a malformed cursor, or one of another history, is 400 and marks nothing", async () => {
      await notify(me, ["1"]);
      const { cursor } = await list();
      const [version, epoch] = cursor.split(".");
      const foreign = cursor.replace(epoch, epoch === "00000000" ? "00000001" : "00000000");
      for (const bad of [
        "",
        "unknown",
        "abc",
        cursor.slice(0, -1),
        foreign,
        `${version}.${epoch}.zzzzzzzz._`,
        5,
      ])
        for (const as of ["read", "seen"])
          expectProblem(await markWith(as, { cursor: bad }), 400, "request_invalid");
      expect((await list()).unread).toBe(1);
    });
  });

  test.each([
    { before: 5 },
    { before: "x" },
    { before: "9223372036854775808" },
    { before: null },
    { type: "" },
    { type: "a\0b" },
    { type: ["note"] },
    { all: true },
    null,
    [],
  ])("%j is refused with 400", async (body) => {
    expectProblem(await markAll(body), 400, "request_invalid");
  });
});

describe("POST /mark-all-seen", () => {
  const markAllSeen = (body?: unknown) =>
    call(service, me, "/mark-all-seen", { method: "POST", body });

  test("marks everything unseen as seen, leaves it unread, and returns how many", async () => {
    const [, seen = "", read = "", archived = ""] = await notify(me, ["1", "2", "3", "4"]);
    await notify("a bystander of this", ["theirs"]);
    const { seenAt } = (await patch(seen, { seen: true })).body;
    await patch(read, { read: true });
    await patch(archived, { archived: true });
    expect((await markAllSeen()).body).toEqual({ changed: 1 });
    expect((await markAllSeen({})).body).toEqual({ changed: 0 });
    const { notifications, unread, unseen } = await list();
    expect({ unread, unseen }).toEqual({ unread: 2, unseen: 0 });
    expect(notifications.find(({ id }: Listed) => id === seen).seenAt).toBe(seenAt);
    expect((await list("?filter=archived")).notifications[0]).toMatchObject({ seenAt: null });
    expect(await list("", "a bystander of this")).toMatchObject({ unseen: 1 });
  });

  test("with `before` and `type`, newer notifications and other types stay unseen", async () => {
    await notify(me, ["1"], "other.type");
    const [, second = ""] = await notify(me, ["2", "3"]);
    await notify(me, ["4"]);
    expect((await markAllSeen({ before: second, type: "note" })).body).toEqual({ changed: 2 });
    const { notifications } = await list();
    expect(notifications.map(({ seenAt }: { seenAt: unknown }) => seenAt === null)).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });
});

describe("preferences", () => {
  const mute = (mutedTypes: unknown) =>
    call(service, me, "/preferences", { method: "PUT", body: { mutedTypes } });
  const told = async () => titlesOf(await list());

  test("nothing is muted by default, and muting applies to one recipient", async () => {
    expect((await call(service, me, "/preferences")).body).toEqual({ mutedTypes: [] });
    expect((await mute(["b.type", "a.type", "b.type"])).body).toEqual({
      mutedTypes: ["a.type", "b.type"],
    });
    expect((await call(service, me, "/preferences")).body).toEqual({
      mutedTypes: ["a.type", "b.type"],
    });
    expect((await call(service, "a bystander", "/preferences")).body).toEqual({ mutedTypes: [] });
  });

  test("a rule creates no row of a muted type, until it is unmuted", async () => {
    me = "2"; // a user of the marketplace
    const send = (body: string) =>
      database.query("insert into messages (sender_id, recipient_id, body) values (1, $1, $2)", [
        me,
        body,
      ]);
    const bodies = async () =>
      (await list()).notifications.map(({ body }: { body: string }) => body);
    await send("before");
    await mute(["message.received"]);
    await send("muted");
    expect(await bodies()).toEqual(["before"]);
    await mute([]);
    await send("after");
    expect(await bodies()).toEqual(["after", "before"]);
  });

  test("bellwire.notify() respects them as well", async () => {
    await mute(["note"]);
    expect(await notify(me, ["muted"])).toEqual([""]);
    await notify(me, ["told"], "another.type");
    expect(await told()).toEqual(["told"]);
  });

  test.each([
    ["not a list", "x"],
    ["nothing", undefined],
    ["a list of numbers", [1]],
    ["an empty type", [""]],
    ["a NUL", ["a\0b"]],
    ["a type of 201 characters", ["x".repeat(201)]],
    ["201 types", Array.from({ length: 201 }, (_, i) => `${i}`)],
  ])("%s is refused with 400", async (_, types) => {
    expectProblem(await mute(types), 400, "request_invalid");
  });
});

test("a change made by the API, in another tab or in psql reaches every open stream of its recipient", async () => {
  const [one = "", two = "", three = ""] = await notify(me, ["1", "2", "3"]);
  const tabs = await Promise.all([openStream(service, me), openStream(service, me)]);
  const other = await openStream(service, "a bystander");
  for (const stream of [...tabs, other]) await stream.waitFor(({ event }) => event === "ready");
  const told = (id: string, unread: number) =>
    Promise.all(
      tabs.map(async (stream) => {
        const isIt = ({ event, data }: { event: string; data: { changes: { id: string }[] } }) =>
          event === "state" && data.changes.some((change) => change.id === id);
        const { data, id: cursor } = await stream.waitFor(isIt);
        expect(data.unread).toBe(unread);
        expect(cursor).toBeDefined();
        return data.changes;
      }),
    );

  const { body } = await patch(one, { read: true });
  const { seenAt, readAt } = body;
  for (const changes of await told(one, 2))
    expect(changes).toEqual([{ id: one, seenAt, readAt, archivedAt: null }]);

  await database.query("update bellwire.notifications set archived_at = now() where id = $1", [
    two,
  ]);
  for (const [change] of await told(two, 1)) expect(change.archivedAt).toMatch(RFC3339);

  await markAll();
  await told(three, 0);

  // The bystander's next event shows that it was sent none of this.
  await notify("a bystander", ["for you"]);
  await other.take(1);
  expect(other.events.map(({ event }) => event)).toEqual(["ready", "notification"]);
});

test("a problem never quotes the request", async () => {
  const canary = "canary-4711";
  const answers = [
    await call(service, me, `/?limit=${canary}`),
    await call(service, me, `/?${canary}=1`),
    await call(service, me, `/?filter=${canary}`),
    await call(service, me, `/${canary}`, { method: "PATCH", body: {} }),
    await patch("1", { [canary]: true }),
    await patch("1", { read: canary }),
    await markAll({ before: canary }),
    await call(service, me, `/${canary}/${canary}`),
  ];
  for (const { status, body } of answers) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(JSON.stringify(body)).not.toContain(canary);
  }
});

describe("headers", () => {
  test("every response has the version and a request id, and reveals no internals", async () => {
    const ids = new Set<string>();
    const token = `Bearer ${await service.token(me)}`;
    const routes: [method: "get" | "patch" | "post" | "delete", path: string][] = [
      ["get", "/livez"],
      ["get", "/readyz"],
      ["get", "/nowhere"],
      ["get", "/api/notifications"],
      ["get", "/api/notifications/unread-count"],
      ["get", "/api/notifications?limit=x"],
      ["patch", "/api/notifications/1"],
      ["post", "/api/notifications/mark-all-read"],
      ["delete", "/api/notifications/1"],
      ["post", "/api/notifications/stream"],
    ];
    for (const [method, path] of routes) {
      const { headers, body } = await request(service.url)
        [method](path)
        .set("Authorization", token);
      expect(headers["x-service-version"], path).toBe(readVersion());
      expect(headers["x-powered-by"], path).toBeUndefined();
      expect(headers.server, path).toBeUndefined();
      if (body.status >= 400) expect(body.requestId, path).toBe(headers["x-request-id"]);
      ids.add(headers["x-request-id"] ?? "");
    }
    expect(ids.size).toBe(routes.length);
  });

  test("a response says which recipient the token or the cookie belongs to", async () => {
    const own = await startService({ databaseUrl: database.url, env: { JWT_COOKIE: "session" } });
    const token = await own.token("Jürgen 5%");
    const paths = ["", "/poll", "/unread-count", "/preferences", "/1", "/stream", "?limit=x"];
    for (const path of paths)
      for (const given of [{ authorization: `Bearer ${token}` }, { cookie: `session=${token}` }]) {
        const response = await fetch(`${own.url}/api/notifications${path}`, { headers: given });
        await response.body?.cancel();
        expect(response.headers.get("bellwire-recipient"), path).toBe("J%C3%BCrgen%205%25");
      }
    const refused = await fetch(`${own.url}/api/notifications`);
    expect(refused.headers.get("bellwire-recipient")).toBeNull();
  });

  test("a write for another recipient than the token's is refused, and changes nothing", async () => {
    const [id] = await notify(me, ["one"]);
    const token = await service.token(me);
    const read = async (recipient: string) => {
      const response = await fetch(`${service.url}/api/notifications/${id}`, {
        method: "PATCH",
        headers: {
          authorization: `Bearer ${token}`,
          "bellwire-recipient": encodeURIComponent(recipient),
          "content-type": "application/json",
        },
        body: '{"read":true}',
      });
      return { status: response.status, answer: await response.json() };
    };
    expect(await read("Jürgen 5%")).toMatchObject({
      status: 400,
      answer: { code: "request_invalid", detail: expect.stringContaining("another recipient's") },
    });
    const unread = async () => (await call(service, me, "/unread-count")).body;
    expect(await unread()).toMatchObject({ count: 1 });
    expect(await read(me)).toMatchObject({ status: 200 });
    expect(await unread()).toMatchObject({ count: 0 });
  });

  test("no cache may store an inbox", async () => {
    for (const path of ["/", "/unread-count", "/?limit=x"])
      expect((await call(service, me, path)).headers.get("cache-control")).toBe("no-store");
  });

  test("the service makes the request id, and ignores the client's", async () => {
    const { headers } = await request(service.url).get("/livez").set("X-Request-Id", "mine");
    expect(headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });
});

interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  body: any;
}

/** Expects a problem of RFC 9457 without further fields. */
function expectProblem({ status, headers, body }: Answer, expected: number, code: string) {
  expect({ status, code: body.code }).toEqual({ status: expected, code });
  expect(headers.get("content-type")).toMatch(/^application\/problem\+json(;|$)/);
  expect(body).toEqual({
    type: "about:blank",
    title: expect.any(String),
    status,
    code,
    detail: expect.any(String),
    requestId: headers.get("x-request-id"),
  });
}
