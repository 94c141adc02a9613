import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OPERATIONS } from "../../src/api/operations.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream, type StreamEvent } from "../support/event-source.ts";
import { call, openService, type Service } from "../support/service.ts";

const BASE = "/api/notifications";

/** A word in everything that belongs to another recipient. */
const SECRET = "secret of another";

/** What a client may have found of another recipient. */
interface Found {
  id: string;
  type: string;
  cursor: string;
}

interface Ask {
  path: string;
  method?: string;
  body?: object;
  headers?: Record<string, string>;
}

/** For each operation the requests that use what was found in every place that takes such a value. */
const REQUESTS: Record<string, (found: Found) => Ask[]> = {
  openStream: ({ cursor }) => [
    { path: "/stream", headers: { "last-event-id": cursor } },
    { path: `/stream?lastEventId=${cursor}` },
    { path: `/stream?last_event_id=${cursor}` },
  ],
  list: ({ id, type }) => [
    { path: `?before=${id}` },
    { path: `?type=${type}` },
    ...["all", "unread", "archived"].map((filter) => ({
      path: `?limit=100&filter=${filter}&before=${id}&type=${type}`,
    })),
  ],
  poll: ({ cursor }) => [{ path: `/poll?since=${cursor}` }],
  countUnread: () => [{ path: "/unread-count" }],
  read: ({ id }) => [{ path: `/${id}` }],
  mark: ({ id }) =>
    [{ read: true }, { read: false }, { seen: true }, { archived: true }, {}].map((body) => ({
      path: `/${id}`,
      method: "PATCH",
      body,
    })),
  markAllRead: (found) => markAll("/mark-all-read", found),
  markAllSeen: (found) => markAll("/mark-all-seen", found),
  readPreferences: () => [{ path: "/preferences" }],
  writePreferences: ({ type }) =>
    [[type], []].map((mutedTypes) => ({
      path: "/preferences",
      method: "PUT",
      body: { mutedTypes },
    })),
  issueTicket: () => [{ path: "/tickets", method: "POST" }],
};

function markAll(path: string, { id, type }: Found): Ask[] {
  return [{ before: id }, { type }, { before: id, type }, {}].map((body) => ({
    path,
    method: "POST",
    body,
  }));
}

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({ databaseUrl: database.url });
});
afterAll(async () => {
  await service.close();
  await database.close();
});

const requestsWith = (found: Found) => Object.values(REQUESTS).flatMap((list) => list(found));

test("the requests here cover every operation that requires a token", () => {
  const names = OPERATIONS.filter(({ path }) => path.startsWith(BASE)).map(({ name }) => name);
  expect(Object.keys(REQUESTS).sort()).toEqual(names.sort());
});

describe.each([
  ["a%", "ab"],
  ["Ab", "ab"],
])("%s and another, %s", (...names) => {
  test("another recipient's id gets the same response as an unknown id", async () => {
    const { me, theirs, nothing } = await start(...names);
    const ofNothing = requestsWith(nothing);
    for (const [i, request] of requestsWith(theirs).entries()) {
      await restore(me);
      const expected = await ask(me, ofNothing[i] ?? request);
      await restore(me);
      const given = await ask(me, request);
      const what = JSON.stringify(request);
      expect(given.status, what).toBe(expected.status);
      expect([...given.headers.keys()], what).toEqual([...expected.headers.keys()]);
      expect(withoutTheNew(given.text), what).toBe(withoutTheNew(expected.text));
    }
  });

  test("another recipient's notification is unknown, whatever its state and the request", async () => {
    const { me, theirs, archived } = await start(...names);
    for (const id of [theirs.id, archived])
      for (const request of REQUESTS.mark?.({ ...theirs, id }) ?? []) {
        const { status, text } = await ask(me, request);
        expect({ status, code: codeOf(text) }).toEqual({
          status: 404,
          code: "notification_unknown",
        });
      }
  });

  test("no response contains another recipient's data, and no request changes it", async () => {
    const { me, they, theirs, archived } = await start(...names);
    const before = await everythingOf(they);
    for (const id of [theirs.id, archived])
      for (const request of requestsWith({ ...theirs, id })) {
        const { text } = await ask(me, request);
        expect(text, JSON.stringify(request)).not.toContain(SECRET);
        for (const one of [theirs.id, archived]) expect(text).not.toContain(`"id":"${one}"`);
      }
    expect(await everythingOf(they)).toEqual(before);
  });

  test("another recipient's notifications are in no count", async () => {
    const { me, they, mine } = await start(...names);
    for (const request of requestsWith(mine)) {
      await restore(me);
      const before = await ask(me, request);
      await notify(they, SECRET);
      await restore(me);
      const after = await ask(me, request);
      expect(withoutTheNew(after.text), JSON.stringify(request)).toBe(withoutTheNew(before.text));
    }
  });

  test("a mark-all is sent to the recipient's own streams only", async () => {
    const { me, they } = await start(...names);
    const own = await openStream(service, me);
    const other = await openStream(service, they);
    for (const stream of [own, other]) await stream.waitFor(isReady);
    await ask(me, { path: "/mark-all-read", method: "POST" });
    await own.waitFor(({ event }) => event === "state");
    await notify(they, SECRET);
    await other.take(1);
    expect(other.events.map(({ event }) => event)).toEqual(["ready", "notification"]);
  });

  test("another recipient's cursor is only a position: it returns one's own notifications", async () => {
    const { me, they, cursors } = await start(...names);
    const mine = await notify(me, "mine");
    await notify(they, SECRET);
    expect(cursors.length).toBeGreaterThanOrEqual(3);
    for (const cursor of cursors) {
      const { text } = await ask(me, { path: `/poll?since=${cursor}` });
      const { notifications, reset } = JSON.parse(text);
      expect(notifications.at(-1)).toMatchObject({ id: mine });
      expect(reset).toBeNull();
      expect(text).not.toContain(SECRET);

      const stream = await openStream(service, me, { lastEventId: cursor });
      await stream.waitFor(({ data }) => data.id === mine);
      await notify(they, SECRET);
      const last = await notify(me, "last");
      await stream.waitFor(({ data }) => data.id === last);
      expect(stream.text()).not.toContain(SECRET);
      stream.close();
      await database.query("delete from bellwire.notifications where id = $1", [last]);
    }
  });

  test("another recipient's ticket beside one's own token is ignored and stays unused", async () => {
    const { me, they } = await start(...names);
    const query = `?ticket=${await issueTicket(they)}`;
    expect((await openStream(service, me, { query, token: "forged" })).status).toBe(401);
    const own = await openStream(service, me, { query });
    await own.waitFor(isReady);
    const other = await openStream(service, they, { query, token: NONE });
    await other.waitFor(isReady);
    await notify(they, SECRET);
    await other.take(1);
    await notify(me, "mine");
    await own.take(1);
    expect(own.events.map(({ event }) => event)).toEqual(["ready", "notification"]);
    expect(own.text()).not.toContain(SECRET);
    expect((await openStream(service, they, { query, token: NONE })).status).toBe(401);
  });
});

test("a ticket opens a stream and nothing else, and a refused attempt does not use it", async () => {
  const { they, theirs } = await start("anna", "boris");
  const ticket = await issueTicket(they);
  for (const request of requestsWith(theirs).filter(({ path }) => !path.startsWith("/stream"))) {
    const path = withQuery(request.path, `ticket=${ticket}`);
    const { status, text } = await ask(undefined, { ...request, path });
    expect({ status, code: codeOf(text) }, path).toEqual({ status: 401, code: "token_missing" });
  }
  const query = `?ticket=${ticket}`;
  const stream = await openStream(service, they, { query, token: NONE });
  await stream.waitFor(isReady);
});

test.each(["recipientId", "recipient_id", "userId", "user", "sub"])(
  "only the token names the recipient: a %s elsewhere is refused or ignored",
  async (name) => {
    const { me, they, mine } = await start("anna", "boris");
    const before = await everythingOf(they);
    for (const request of requestsWith(mine)) {
      await restore(me);
      const plain = await ask(me, request);
      const { path, method = "GET", body, headers } = request;
      for (const disguised of [
        { ...request, path: withQuery(path, `${name}=${they}`) },
        { ...request, headers: { ...headers, [`x-${name.replace("_", "-")}`]: they } },
        ...(method === "GET" ? [] : [{ ...request, body: { ...body, [name]: they } }]),
      ]) {
        await restore(me);
        const { status, text } = await ask(me, disguised);
        const what = JSON.stringify(disguised);
        expect(text, what).not.toContain(SECRET);
        if (status === 400) expect(codeOf(text), what).toBe("request_invalid");
        else expect(withoutTheNew(text), what).toBe(withoutTheNew(plain.text));
      }
    }
    expect(await everythingOf(they)).toEqual(before);

    const path = `/tickets?${name}=${they}`;
    const { text } = await ask(me, { path, method: "POST", body: { [name]: they } });
    const query = `?ticket=${JSON.parse(text).ticket}&${name}=${they}`;
    const stream = await openStream(service, me, { query, token: NONE });
    await stream.waitFor(isReady);
    await notify(they, SECRET);
    await notify(me, "mine");
    await stream.take(1);
    expect(stream.events.map(({ event }) => event)).toEqual(["ready", "notification"]);
    expect(stream.text()).not.toContain(SECRET);
  },
);

/** An empty bearer token counts as no token. */
const NONE = "";

const isReady = ({ event }: StreamEvent) => event === "ready";
const codeOf = (text: string) => JSON.parse(text).code;
const withQuery = (path: string, query: string) =>
  `${path}${path.includes("?") ? "&" : "?"}${query}`;

/**
 * Two new recipients of these names, with a word before each. The first has two notifications. Between them are two of the other, and
 * the gap of a deleted one.
 */
async function start(name: string, anothersName: string) {
  const word = randomBytes(4).toString("hex");
  const me = word + name;
  const they = word + anothersName;
  await notify(me, "first");
  const { cursor } = (await call(service, they, "/")).body;
  const theirId = await notify(they, SECRET, "theirs");
  const archived = await notify(they, SECRET, "theirs");
  await database.query("update bellwire.notifications set archived_at = now() where id = $1", [
    archived,
  ]);
  await database.query("select bellwire.mute_types($1, '{muted}')", [they]);
  const gap = await notify(me, "gone");
  await database.query("delete from bellwire.notifications where id = $1", [gap]);
  const id = await notify(me, "second");

  const stream = await openStream(service, they, { lastEventId: cursor });
  await stream.take(2);
  const list = (await call(service, they, "/")).body;
  const ownList = (await call(service, me, "/")).body;
  return {
    me,
    they,
    theirs: { id: theirId, type: "theirs", cursor: list.cursor },
    nothing: { id: gap, type: "of-no-one", cursor: ownList.cursor },
    mine: { id, type: "note", cursor: ownList.cursor },
    archived,
    /** The other recipient's, including those from the middle of a read. */
    cursors: [cursor, list.cursor, ...stream.events.flatMap(({ id }) => id ?? [])],
  };
}

async function notify(recipientId: string, text: string, type = "note"): Promise<string> {
  const [row] = await database.query<{ id: string }>(
    `select bellwire.notify($1, $2, actor_id => $3, title => $3, body => $3, link => $3,
       data => jsonb_build_object('text', $3::text))::text as id`,
    [recipientId, type, text],
  );
  return row?.id ?? "";
}

const issueTicket = async (recipientId: string): Promise<string> =>
  (await call(service, recipientId, "/tickets", { method: "POST" })).body.ticket;

/** Restores the state: nothing is read, seen, archived or muted. */
async function restore(recipientId: string): Promise<void> {
  await database.query(
    `with restored as (
       update bellwire.notifications set read_at = null, seen_at = null, archived_at = null
        where recipient_id = $1 and coalesce(read_at, seen_at, archived_at) is not null)
     delete from bellwire.preferences where recipient_id = $1`,
    [recipientId],
  );
}

const everythingOf = async (recipientId: string) => [
  await database.query("select * from bellwire.notifications where recipient_id = $1 order by id", [
    recipientId,
  ]),
  await database.query("select * from bellwire.preferences where recipient_id = $1", [recipientId]),
];

/** The whole response; of a stream, everything up to its first event. */
async function ask(recipientId: string | undefined, { path, method = "GET", body, headers }: Ask) {
  const token = recipientId && (await service.token(recipientId));
  const response = await fetch(service.url + BASE + path, {
    method,
    headers: {
      ...headers,
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body ? { "content-type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  const text = isStream ? await firstEvent(response) : await response.text();
  return { status: response.status, headers: response.headers, text };
}

async function firstEvent(response: Response): Promise<string> {
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk);
    const end = /\nid: .*\n\n/.exec(text);
    // Leaving the loop ends the stream.
    if (end) return text.slice(0, end.index);
  }
  throw new Error(`the stream ended before its first event; it said:\n${text}`);
}

/** Removes what differs between any two responses, and the requested type. */
const withoutTheNew = (text: string) =>
  text
    .replace(
      /"(requestId|cursor|ticket|expiresAt|createdAt|readAt|seenAt|archivedAt)":"[^"]*"/g,
      '"$1":""',
    )
    .replace(/^retry: \d+/, "retry:")
    .replace(/"(theirs|of-no-one)"/, '"type"');
