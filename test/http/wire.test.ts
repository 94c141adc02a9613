import { once } from "node:events";
import { connect } from "node:net";
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { call, openService, type Service, startService } from "../support/service.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({ databaseUrl: database.url });
  return async () => {
    await service.close();
    await database.close();
  };
});

/** Each test has its own recipient. */
let me: string;
let recipients = 0;
beforeEach(() => {
  me = `recipient ${++recipients}`;
});

async function get(service: Service, path: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(`${service.url}/api/notifications${path}`, {
    ...init,
    headers: {
      authorization: `Bearer ${await service.token(me)}`,
      "content-type": "application/json",
    },
  });
  const text = await response.text();
  expect(response.status, text.slice(0, 200)).toBe(200);
  return text;
}

/** The bytes of a stream. */
async function listen(service: Service, cursor?: string) {
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  const query = cursor === undefined ? "" : `?lastEventId=${cursor}`;
  socket.write(
    `GET /api/notifications/stream${query} HTTP/1.0\r\nAuthorization: Bearer ${await service.token(me)}\r\n\r\n`,
  );
  let heard = "";
  socket.setEncoding("utf8").on("data", (text) => {
    heard += text;
  });
  await expect.poll(() => heard).toContain("event: ready");
  return {
    /** Waits for this many notifications, and returns their data. */
    async take(count: number): Promise<string[]> {
      const found = () =>
        [...heard.matchAll(/^event: notification\ndata: (.*)\nid: /gm)].map(
          ([, data]) => data ?? "",
        );
      await expect.poll(() => found().length, { timeout: 5000 }).toBe(count);
      return found();
    },
    heard: () => heard,
  };
}

/** The notification that `insert` makes, as a client gets it on every way. */
async function everyWay(
  service: Service,
  insert: () => Promise<unknown>,
): Promise<[way: string, text: string][]> {
  const { cursor } = JSON.parse(await get(service, "/"));
  const stream = await listen(service);
  await insert();
  const [live = ""] = await stream.take(1);
  const { id } = JSON.parse(live);
  const [replayed = ""] = await (await listen(service, cursor)).take(1);
  return [
    ["live", live],
    ["replayed", replayed],
    ["listed", await get(service, "/")],
    ["polled", await get(service, `/poll?since=${cursor}`)],
    [
      "marked",
      await get(service, `/${id}`, { method: "PATCH", body: JSON.stringify({ seen: true }) }),
    ],
    [
      "marked again",
      await get(service, `/${id}`, { method: "PATCH", body: JSON.stringify({ seen: true }) }),
    ],
  ];
}

describe("data arrives with the digits that PostgreSQL prints:", () => {
  test.each([
    ["an integer beyond 2^53", '{"id": 1161380288898609914}'],
    [
      "a number beyond the range of a double",
      '{"big": 1e400, "small": 1e-400, "exact": 0.1000000000000000055511151231257827}',
    ],
    ["trailing zeros, minus zero", "[1.0, 1.10, -0, 100e2]"],
    ["a key __proto__", '{"__proto__": {"a": 1}, "constructor": null}'],
    ["arrays 5,000 deep", `${"[".repeat(5000)}${"]".repeat(5000)}`],
    ["objects 5,000 deep", `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`],
    ["a bare text", '"a \\" \\\\ \\n \\u0001 😀"'],
    ["null", "null"],
  ])("%s, in whatever way", async (_, data) => {
    const [row] = await database.query<{ text: string }>("select $1::jsonb::text as text", [data]);
    const ways = await everyWay(service, () =>
      database.query("select bellwire.notify($1, 'note', data => $2)", [me, data]),
    );
    for (const [way, text] of ways) expect(text, way).toContain(`"data":${row?.text},"createdAt"`);
  });
});

describe("a time is on the wire", () => {
  test.each([
    ["infinity", "infinity"],
    ["-infinity", "-infinity"],
    ["9999-12-31 23:59:59.9999+00", "9999-12-31T23:59:59.999Z"],
    ["10000-01-01 00:00:00+00", "+010000-01-01T00:00:00.000Z"],
    ["294276-12-31 23:59:59.999999+00", "+294276-12-31T23:59:59.999Z"],
    ["0001-01-01 00:00:00+00", "0001-01-01T00:00:00.000Z"],
    ["0001-12-31 00:00:00+00 BC", "0000-12-31T00:00:00.000Z"],
    ["0002-12-31 00:00:00+00 BC", "-000001-12-31T00:00:00.000Z"],
    ["0044-03-15 12:00:00+00 BC", "-000043-03-15T12:00:00.000Z"],
    ["4713-01-01 00:00:00+00 BC", "-004712-01-01T00:00:00.000Z"],
    ["1969-12-31 23:59:59.9999+00", "1969-12-31T23:59:59.999Z"],
    ["2026-06-30 12:00:00.000001+05:30", "2026-06-30T06:30:00.000Z"],
  ])("%s as %s, in whatever way and whichever time it is", async (stored, sent) => {
    const ways = await everyWay(service, () =>
      database.query(
        `insert into bellwire.notifications (recipient_id, type, created_at, seen_at, read_at, archived_at)
         values ($1, 'note', $2, $2, $2, null)`,
        [me, stored],
      ),
    );
    for (const [way, text] of ways)
      expect(text, way).toContain(
        `"createdAt":"${sent}","seenAt":"${sent}","readAt":"${sent}","archivedAt":null`,
      );
    const stream = await listen(service);
    await database.query(
      "update bellwire.notifications set archived_at = $2 where recipient_id = $1",
      [me, stored],
    );
    await expect.poll(stream.heard).toContain(`"archivedAt":"${sent}"`);
  });
});

test("characters that some readers take for a line end are escaped: U+0085, U+2028, U+2029", async () => {
  const text = "a\u0085b\u2028c\u2029d";
  const ways = await everyWay(service, () =>
    database.query("select bellwire.notify($1, 'note', null, $2, $2, $2, $3)", [
      me,
      text,
      JSON.stringify({ [text]: text }),
    ]),
  );
  for (const [way, got] of ways) {
    expect(got, way).not.toMatch(/[\u0085\u2028\u2029]/);
    expect(got, way).toContain('"title":"a\\u0085b\\u2028c\\u2029d"');
    expect(got, way).toContain('{"a\\u0085b\\u2028c\\u2029d": "a\\u0085b\\u2028c\\u2029d"}');
  }
});

describe("a notification larger than MAX_EVENT_BYTES", () => {
  const MAX = 2000;
  let limited: Service;
  beforeAll(async () => {
    const env = { MAX_EVENT_BYTES: String(MAX) };
    limited = await openService({ databaseUrl: database.url, env });
    return limited.close;
  });
  const notify = (body: string, data: string) => () =>
    database.query("select bellwire.notify($1, 'note', '7', 'Title', $2, '/link', $3)", [
      me,
      body,
      data,
    ]);

  test.each([
    ["ASCII", "a"],
    ["two bytes each", "я"],
    ["surrogate pairs", "😀"],
    ["escaped", "\u0001"],
    ["escaped by us", "\u2028"],
  ])("has its body cut, in whatever way, and GET /:id has the whole: %s", async (_, character) => {
    const body = `x${character.repeat(10_000)}`;
    const ways = await everyWay(limited, notify(body, '{"a": 1e30}'));
    for (const [way, text] of ways) {
      const answer = JSON.parse(text);
      const { notifications: [got] = [answer] } = answer;
      expect(got, way).toMatchObject({
        title: "Title",
        actorId: "7",
        link: "/link",
        truncated: true,
      });
      expect(text, way).toContain(`"data":{"a": ${10n ** 30n}}`);
      expect(body.startsWith(got.body), way).toBe(true);
      expect(got.body, way).not.toMatch(/[\ud800-\udbff]$/);
      // On the wire U+2028 takes twice as much.
      expect(Buffer.byteLength(JSON.stringify(got)), way).toBeGreaterThan(MAX / 3);
    }
    const [[, live] = ["", ""]] = ways;
    expect(Buffer.byteLength(live) + "data: \n".length).toBeLessThanOrEqual(MAX);
    const whole = JSON.parse(await get(limited, `/${JSON.parse(live).id}`));
    expect(whole).toMatchObject({ body, title: "Title" });
    expect(whole).not.toHaveProperty("truncated");
  });

  test("loses its data if that is too large, and keeps its body", async () => {
    const data = JSON.stringify({ text: "d".repeat(1900) });
    const ways = await everyWay(limited, notify("The body.", data));
    for (const [way, text] of ways)
      expect(text, way).toMatch(
        /"body":"The body\.","link":"\/link","data":\{\},.*"truncated":true/,
      );
  });

  test("is whole if it just fits, or if there is no limit", async () => {
    for (const [way, text] of await everyWay(limited, notify("b".repeat(1400), "{}")))
      expect(text, way).not.toContain("truncated");
    const unlimited = await startService({
      databaseUrl: database.url,
      env: { MAX_EVENT_BYTES: "0" },
    });
    await database.query("delete from bellwire.notifications where recipient_id = $1", [me]);
    const body = "b".repeat(1_000_000);
    for (const [way, text] of await everyWay(unlimited, notify(body, "{}")))
      expect(text.includes(body) && !text.includes("truncated"), way).toBe(true);
  });

  test("is not found if it is another recipient's or does not exist", async () => {
    const [row] = await database.query<{ id: string }>(
      "select bellwire.notify('somebody else', 'note')::text as id",
    );
    for (const id of [row?.id, "999999999"]) {
      const { status, body } = await call(limited, me, `/${id}`);
      expect([status, body.code]).toEqual([404, "notification_unknown"]);
    }
    expect((await call(limited, me, "/nonsense")).status).toBe(400);
    expect((await call(limited, "somebody else", `/${row?.id}`)).status).toBe(200);
  });
});
