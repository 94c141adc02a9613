import { connect } from "node:net";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { encodeCursor, parseCursor } from "../../../src/changes/cursor.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { LAST_WORDS, openStream, REFUSAL } from "../../support/event-source.ts";
import { call, openService, type Service, startService } from "../../support/service.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

const start = (env: Record<string, string> = {}) =>
  startService({ databaseUrl: database.url, env });

/** One more recipient nobody else in this file uses. */
let last = 1000;
const newRecipient = () => String(++last);

const notify = (recipientId: string, title: string) =>
  database.query("select bellwire.notify($1, 'test', title => $2)", [recipientId, title]);

const titles = (events: { data: { title: string } }[]) => events.map(({ data }) => data.title);

describe("an open stream", () => {
  let service: Service;
  beforeAll(async () => {
    const env = { ALLOWED_ORIGINS: "https://shop.example" };
    service = await openService({ databaseUrl: database.url, env });
    return service.close;
  });

  test("begins with its headers, retry, and ready", async () => {
    const stream = await openStream(service, newRecipient());
    const ready = await stream.waitFor(({ event }) => event === "ready");
    expect(stream.status).toBe(200);
    expect(stream.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(stream.headers.get("cache-control")).toBe("no-cache, no-transform");
    expect(stream.headers.get("x-accel-buffering")).toBe("no");
    expect(stream.headers.get("x-service-version")).toMatch(/^\d+\.\d+\.\d+$/);
    const [, retry] = /^retry: (\d+)\nevent: ready\n/.exec(stream.text()) ?? [];
    // Few streams are open.
    expect(Number(retry)).toBeGreaterThanOrEqual(200);
    expect(Number(retry)).toBeLessThanOrEqual(1000);
    expect(ready.data).toMatchObject({ unread: 0, unseen: 0, cursor: ready.id });
  });

  const [FIREFOX, NODE] = ["User-Agent: Mozilla/5.0 (X11; rv:128.0)", "sec-fetch-mode: cors"];
  test.each([
    ["is chunks, behind all its headers", "HTTP/1.1", "Host", []],
    ["is chunks, behind all its headers", "HTTP/1.1", "Host", ["Expect: 100-continue"]],
    ["is chunks to a browser", "HTTP/1.1", "Host", [FIREFOX]],
    ["is chunks to whoever may need them behind HAProxy", "HTTP/1.1", "host", []],
    ["is bytes up to its end to a browser behind HAProxy", "HTTP/1.1", "host", [FIREFOX]],
    ["is bytes up to its end to Node's fetch behind HAProxy", "HTTP/1.1", "host", [NODE]],
    ["is bytes up to its end", "HTTP/1.0", "Host", []],
  ])("%s: %s %s %s", async (what, version, host, more) => {
    const socket = connect(Number(new URL(service.url).port), "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    let heard = "";
    socket.setEncoding("utf8").on("data", (text) => {
      heard += text;
    });
    const lines = [
      `GET /api/notifications/stream ${version}`,
      `${host}: bell`,
      "Origin: https://shop.example",
      `Authorization: Bearer ${await service.token(newRecipient())}`,
      ...more,
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    await expect.poll(() => heard).toMatch(/event: ready\n.*\n.*\n\n(\r\n)?$/);
    const isChunked = what.startsWith("is chunks");
    const [head = "", body = ""] = heard
      .replace(/^HTTP\/1\.1 100 .*\r\n\r\n/, "")
      .split("\r\n\r\n");
    const names = head.split("\r\n").map((line) => line.split(":")[0]?.toLowerCase());
    expect(names.sort()).toEqual([
      "access-control-allow-credentials",
      "access-control-allow-origin",
      "access-control-expose-headers",
      "bellwire-recipient",
      "cache-control",
      "connection",
      "content-encoding",
      "content-type",
      "date",
      "http/1.1 200 ok",
      ...(isChunked ? ["transfer-encoding"] : []),
      "vary",
      "x-accel-buffering",
      "x-request-id",
      "x-service-version",
    ]);
    expect(head).toContain("\r\nConnection: close");
    // Nobody may compress it.
    expect(head).toContain("\r\nContent-Encoding: identity");
    const ready = /^retry: \d+\nevent: ready\ndata: .*\nid: .*\n\n$/;
    if (!isChunked) return expect(body).toMatch(ready);
    expect(head).toContain("\r\nTransfer-Encoding: chunked");
    const [size = "", chunk = ""] = body.split("\r\n");
    expect(chunk).toMatch(ready);
    expect(Number.parseInt(size, 16)).toBe(chunk.length);
  });

  test("sends what is committed, only to its recipient, with the contract's fields", async () => {
    const [anna, boris] = [newRecipient(), newRecipient()];
    const [toAnna, toBoris] = [await openStream(service, anna), await openStream(service, boris)];
    await Promise.all([toAnna, toBoris].map((s) => s.waitFor(({ event }) => event === "ready")));
    await database.query(
      `select bellwire.notify($1, 'test', actor_id => '7', title => 'T', body => 'B', link => '/l',
                              data => '{"n": 1}')`,
      [anna],
    );
    const [event] = await toAnna.take(1);
    expect(event?.data).toEqual({
      id: expect.stringMatching(/^\d+$/),
      type: "test",
      actorId: "7",
      title: "T",
      body: "B",
      link: "/l",
      data: { n: 1 },
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      seenAt: null,
      readAt: null,
      archivedAt: null,
      unread: 1,
      unseen: 1,
    });
    await notify(boris, "sentinel");
    expect(titles(await toBoris.take(1))).toEqual(["sentinel"]);
  });

  test("never sends what was rolled back", async () => {
    const recipient = newRecipient();
    const stream = await openStream(service, recipient);
    await stream.waitFor(({ event }) => event === "ready");
    await database.query("begin");
    await notify(recipient, "rolled back");
    await database.query("rollback");
    await database.query("begin");
    await database.query("savepoint s");
    await notify(recipient, "savepoint rolled back");
    await database.query("rollback to savepoint s");
    await notify(recipient, "committed");
    await database.query("commit");
    expect(titles(await stream.take(1))).toEqual(["committed"]);
  });

  test("sends an early id that commits late, live and after a resume", async () => {
    const recipient = newRecipient();
    const staying = await openStream(service, recipient);
    await staying.waitFor(({ event }) => event === "ready");
    const slow = await database.connect();
    await slow.query("begin");
    await slow.query("select bellwire.notify($1, 'test', title => 'early id')", [recipient]);
    await notify(recipient, "late id");
    expect(titles(await staying.take(1))).toEqual(["late id"]);
    const leaving = staying.lastId() ?? "";
    await slow.query("commit");
    expect(titles(await staying.take(1))).toEqual(["early id"]);
    const coming = await openStream(service, recipient, { lastEventId: leaving });
    expect(titles(await coming.take(1))).toEqual(["early id"]);
    await notify(recipient, "sentinel");
    expect(titles(await coming.take(1))).toEqual(["sentinel"]);
  });

  test("sends a change made in psql as state, with the recipient's count", async () => {
    const recipient = newRecipient();
    const stream = await openStream(service, recipient);
    await stream.waitFor(({ event }) => event === "ready");
    await notify(recipient, "one");
    await notify(recipient, "two");
    const [one] = await stream.take(2);
    await database.query("update bellwire.notifications set read_at = now() where id = $1", [
      one?.data.id,
    ]);
    const { data } = await stream.waitFor(({ event }) => event === "state");
    expect(data.unread).toBe(1);
    expect(data.changes).toEqual([
      {
        id: one?.data.id,
        readAt: expect.any(String),
        seenAt: expect.any(String),
        archivedAt: null,
      },
    ]);
  });

  test("carries a megabyte, quotes, line ends and emoji unharmed", async () => {
    const service = await start({ MAX_EVENT_BYTES: "0" });
    const recipient = newRecipient();
    const stream = await openStream(service, recipient);
    await stream.waitFor(({ event }) => event === "ready");
    const title = `"'\\\n\r\n\u2028 😀 event: forged\n\ndata: {}\n\n${"я".repeat(500_000)}`;
    await notify(recipient, title);
    expect(titles(await stream.take(1))).toEqual([title]);
    const id = stream.events.at(-1)?.data.id;
    const list = await call(service, recipient, "/");
    expect(list.body.notifications[0]).toMatchObject({ id, title });
  });

  test("wakes once for 10,000 rows in one statement, and each reaches its recipient", async () => {
    // Wake-ups are a database's, and the tests that prune would prune these rows.
    const elsewhere = await createDatabase();
    onTestFinished(() => elsewhere.close());
    const service = await startService({ databaseUrl: elsewhere.url });
    const recipients = Array.from({ length: 10 }, newRecipient);
    const streams = await Promise.all(recipients.map((r) => openStream(service, r)));
    await Promise.all(streams.map((s) => s.waitFor(({ event }) => event === "ready")));
    await elsewhere.query(
      `create table public.bulk (who text, n integer);
       select bellwire.define_rule('bulk', 'public.bulk', 'insert', $$
         select who as recipient_id, 'bulk' as type, n::text as title from new_rows order by n
       $$)`,
    );
    const before = await wakeUps(service);
    // Tells nobody, so it wakes nobody.
    await elsewhere.query("insert into public.bulk select 'x', 1 where false");
    await elsewhere.query(
      `insert into public.bulk
       select ($1::text[])[1 + n % 10], n from generate_series(0, 9999) as n`,
      [recipients],
    );
    for (const [i, stream] of streams.entries()) {
      const got = titles(await stream.take(1000)).map(Number);
      expect(got).toEqual(Array.from({ length: 1000 }, (_, k) => k * 10 + i));
    }
    await expect.poll(async () => (await wakeUps(service)) - before).toBe(1);
  });

  test("shares one LISTEN connection with all others, and that is never in a transaction", async () => {
    const streams = await Promise.all(
      Array.from({ length: 30 }, () => openStream(service, newRecipient())),
    );
    await Promise.all(streams.map((s) => s.waitFor(({ event }) => event === "ready")));
    await expect
      .poll(() =>
        database.query(
          `select state, xact_start, query from pg_stat_activity
            where datname = current_database() and query ilike 'listen%'`,
        ),
      )
      .toEqual([{ state: "idle", xact_start: null, query: expect.stringMatching(/^LISTEN/) }]);
  });
});

/**
 * A stream that is ready, and its position, in which of all transactions in progress only `ours` count. Transaction ids are the
 * server's: those of other test files' databases are in a position too, though they write nothing here.
 */
async function openAmidst(
  ours: readonly bigint[],
  service: Service,
  recipient: string,
  options: { lastEventId?: string } = {},
) {
  const stream = await openStream(service, recipient, options);
  const { id = "" } = await stream.waitFor(({ event }) => event === "ready");
  const cursor = parseCursor(id);
  if (!cursor) throw new Error(`the stream is ready at ${id}`);
  const inProgress = cursor.at.inProgress.filter((xid) => ours.includes(xid));
  expect(inProgress).toEqual(ours);
  return { stream, position: encodeCursor({ ...cursor, at: { ...cursor.at, inProgress } }) };
}

/** Deletes the rows of more than 90 days. */
async function prune(): Promise<void> {
  const call = "select bellwire.prune(now() - interval '90 days')::int as pruned";
  while ((await database.query<{ pruned: number }>(call))[0]?.pruned) {} // a thousand each
}

describe("a resumed stream", () => {
  let service: Service;
  beforeAll(async () => {
    service = await openService({ databaseUrl: database.url });
    return service.close;
  });

  test("sends the fifty events that it missed, once and in order, and then what comes", async () => {
    const recipient = newRecipient();
    const first = await openStream(service, recipient);
    await first.waitFor(({ event }) => event === "ready");
    await notify(recipient, "seen");
    await first.take(1);
    first.close();
    const missed = Array.from({ length: 50 }, (_, i) => `missed ${i}`);
    for (const title of missed) await notify(recipient, title);
    const second = await openStream(service, recipient, { lastEventId: first.lastId() ?? "" });
    const ready = await second.waitFor(({ event }) => event === "ready");
    expect(ready.data.unread).toBe(51);
    expect(ready.id).toBe(first.lastId());
    expect(titles(await second.take(50))).toEqual(missed);
    await notify(recipient, "live");
    expect(titles(await second.take(1))).toEqual(["live"]);
  });

  test("continues from every single event, without loss or repeat", async () => {
    const recipient = newRecipient();
    await notify(recipient, "zero");
    const whole = await openStream(service, recipient);
    await whole.waitFor(({ event }) => event === "ready");
    // One transaction, so that one read gives several new rows and several changed ones.
    await database.query("begin");
    for (const title of ["one", "two", "three"]) await notify(recipient, title);
    await database.query(
      "update bellwire.notifications set seen_at = now() where recipient_id = $1",
      [recipient],
    );
    await database.query("commit");
    await whole.waitFor(({ event }) => event === "state");
    const ids = whole.events.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [i, id] of ids.entries()) {
      const resumed = await openStream(service, recipient, { lastEventId: id ?? "" });
      const rest = whole.events.slice(i + 1).map(({ event, data }) => [event, idsOf(data)]);
      await resumed.waitFor(({ event }) => event === "ready");
      for (const [event, of] of rest)
        await resumed.waitFor((e) => e.event === event && String(idsOf(e.data)) === String(of));
      await call(service, recipient, "/unread-count");
      expect(
        resumed.events
          .filter(({ event }) => event !== "ready")
          .map(({ event, data }) => [event, idsOf(data)]),
      ).toEqual(rest);
      resumed.close();
    }
  });

  test("prefers the Last-Event-ID header to the URL, which is as old as the page", async () => {
    const recipient = newRecipient();
    const first = await openStream(service, recipient);
    const { id: old } = await first.waitFor(({ event }) => event === "ready");
    await notify(recipient, "one");
    await first.take(1);
    const both = await openStream(service, recipient, {
      query: `?lastEventId=${old}`,
      lastEventId: first.lastId() ?? "",
    });
    await both.waitFor(({ event }) => event === "ready");
    await notify(recipient, "two");
    expect(titles(await both.take(1))).toEqual(["two"]);
    for (const name of ["lastEventId", "last_event_id"]) {
      const byQuery = await openStream(service, recipient, { query: `?${name}=${old}` });
      expect(titles(await byQuery.take(2))).toEqual(["one", "two"]);
    }
  });

  test("is reset when it missed more than the limit, and continues from there", async () => {
    const service = await start({ REPLAY_LIMIT: "5" });
    const recipient = newRecipient();
    const first = await openStream(service, recipient);
    const { id: old } = await first.waitFor(({ event }) => event === "ready");
    for (let i = 0; i < 6; i++) await notify(recipient, `missed ${i}`);
    const second = await openStream(service, recipient, { lastEventId: old ?? "" });
    const reset = await second.waitFor(({ event }) => event === "reset");
    expect(reset.data).toEqual({ reason: "too_many", unread: 6, unseen: 6 });
    await notify(recipient, "after");
    expect(titles(await second.take(1))).toEqual(["after"]);
    const ready = second.events.find(({ event }) => event === "ready");
    expect(ready?.id).toBe(old);
    const third = await openStream(service, recipient, { lastEventId: reset.id ?? "" });
    expect(titles(await third.take(1))).toEqual(["after"]);
  });

  test("is reset when what it missed was pruned, and not when only older rows were", async () => {
    const recipient = newRecipient();
    const { cursor } = (await call(service, recipient, "/")).body;
    // No transaction in progress, of any database, is as old as the rows that are pruned here.
    const at = { xmax: 10n, inProgress: [] };
    const kept = encodeCursor({ epoch: parseCursor(cursor)?.epoch ?? "", at });
    const pruneAsOf = async (xid: string) => {
      await database.query(
        "update bellwire.notifications set created_at = now() - interval '91 days', created_xid = $1",
        [xid],
      );
      await prune();
    };
    await notify(recipient, "old");
    await pruneAsOf("9");
    const fine = await openStream(service, recipient, { lastEventId: kept });
    await fine.waitFor(({ event }) => event === "ready");
    await notify(recipient, "missed");
    await fine.take(1);
    await pruneAsOf("10");
    const late = await openStream(service, recipient, { lastEventId: kept });
    const reset = await late.waitFor(({ event }) => event === "reset");
    expect(reset.data).toEqual({ reason: "cursor_expired", unread: 0, unseen: 0 });
    await notify(recipient, "next");
    expect(titles(await late.take(1))).toEqual(["next"]);
    expect(titles(await fine.take(1))).toEqual(["next"]);
    // Whoever came after that, or was told, is not told again.
    const told = await openStream(service, recipient, { lastEventId: reset.id ?? "" });
    expect(titles(await told.take(1))).toEqual(["next"]);
    expect([...fine.events, ...told.events].map(({ event }) => event)).not.toContain("reset");
  });

  test("is not reset by pruning if its recipient was connected meanwhile, even if a transaction was open all the time", async () => {
    const service = await start();
    const recipient = newRecipient();
    const writer = await database.connect();
    await writer.query("begin");
    const { rows } = await writer.query("select pg_current_xact_id()::text as xid");
    const ours = [BigInt(rows[0].xid)];
    // Transactions of other test files may be older than what is pruned here, and would expire the positions of later tests.
    onTestFinished(async () => {
      await database.query("update bellwire.retention set pruned_xid = '3'");
    });
    let lastEventId = "";
    for (let day = 1; day <= 3; day++) {
      await notify(newRecipient(), "for somebody else");
      const resume = lastEventId ? { lastEventId } : {};
      const { stream, position } = await openAmidst(ours, service, recipient, resume);
      lastEventId = position;
      expect(stream.events.map(({ event }) => event)).toEqual(["ready"]);
      stream.close();
      await database.query(
        "update bellwire.notifications set created_at = now() - interval '91 days'",
      );
      await prune();
    }
    await writer.query("rollback");
  });

  test("is reset by a cursor of another history", async () => {
    const recipient = newRecipient();
    const first = await openStream(service, recipient);
    const { id } = await first.waitFor(({ event }) => event === "ready");
    const [, epoch = ""] = id?.split(".") ?? [];
    const foreign = id?.replace(epoch, epoch === "00000000" ? "00000001" : "00000000") ?? "";
    const future = `v1.${epoch}.zzzzzzzz._`;
    for (const lastEventId of [foreign, future]) {
      const stream = await openStream(service, recipient, { lastEventId });
      const reset = await stream.waitFor(({ event }) => event === "reset");
      expect(reset.data.reason).toBe("epoch_changed");
      await notify(recipient, `after ${lastEventId}`);
      expect(titles(await stream.take(1))).toEqual([`after ${lastEventId}`]);
    }
  });

  test.each([
    "abc",
    "-1",
    "1e30",
    "0",
    "v1",
    "unknown",
    "' or 1=1 --",
    "v1.00000000.rs.zzzz_",
    "x".repeat(8000),
  ])("answers the id %j with 200, ready and reset, and goes on", async (lastEventId) => {
    const recipient = newRecipient();
    const stream = await openStream(service, recipient, { lastEventId });
    expect(stream.status).toBe(200);
    const reset = await stream.waitFor(({ event }) => event === "reset");
    expect(stream.events.map(({ event }) => event)).toEqual(["ready", "reset"]);
    expect(reset.data).toEqual({ reason: "cursor_unknown", unread: 0, unseen: 0 });
    await notify(recipient, "next");
    expect(titles(await stream.take(1))).toEqual(["next"]);
    const resumed = await openStream(service, recipient, { lastEventId: reset.id ?? "" });
    expect(titles(await resumed.take(1))).toEqual(["next"]);
  });

  test("a stream that is cut after ready, before its reset, is reset again", async () => {
    const stream = await openStream(service, newRecipient(), { lastEventId: "abc" });
    const ready = await stream.waitFor(({ event }) => event === "ready");
    const again = await openStream(service, newRecipient(), { lastEventId: ready.id ?? "" });
    expect((await again.waitFor(({ event }) => event === "reset")).data.reason).toBe(
      "cursor_unknown",
    );
  });
});

describe("a stream that is refused", () => {
  test("gets 401 for good without a valid token", async () => {
    const service = await start();
    const response = await fetch(`${service.url}/api/notifications/stream`);
    expect(response.status).toBe(401);
    expect(response.headers.get("content-type")).toMatch("application/problem+json");
  });

  test("gets 429 for good, with Retry-After, when the recipient has too many streams", async () => {
    const service = await start({ MAX_STREAMS_PER_RECIPIENT: "2" });
    const recipient = newRecipient();
    const first = await openStream(service, recipient);
    await openStream(service, recipient);
    const third = await openStream(service, recipient);
    expect(third.status).toBe(429);
    expect(Number(third.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await openStream(service, newRecipient())).status).toBe(200);
    first.close();
    await first.ended;
    await expect
      .poll(async () => (await openStream(service, recipient)).status, { timeout: 5000 })
      .toBe(200);
  });

  test("is counted before it is opened, however many clients connect at once", async () => {
    const service = await start({ MAX_STREAMS_PER_RECIPIENT: "3" });
    const recipient = newRecipient();
    const asked = Array.from({ length: 20 }, () => openStream(service, recipient));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    expect(statuses.filter((status) => status === 429)).toHaveLength(17);
  });

  test("leaves nothing behind when its client left before it was admitted", async () => {
    const service = await start();
    const recipient = newRecipient();
    const token = await service.token(recipient);
    const locking = await database.connect();
    await locking.query("begin; lock table bellwire.revocations in access exclusive mode");
    const abort = new AbortController();
    const asked = Array.from({ length: 5 }, () =>
      fetch(`${service.url}/api/notifications/stream`, {
        headers: { authorization: `Bearer ${token}` },
        signal: abort.signal,
      }).catch(() => undefined),
    );
    // They share a query.
    const waiting = () =>
      database.query(
        "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%issued_ms%'",
      );
    await expect.poll(async () => (await waiting()).length).toBeGreaterThanOrEqual(1);
    abort.abort();
    await Promise.all(asked);
    // Served after the ends of those connections were seen: they came first.
    for (let i = 0; i < 5; i++) await (await fetch(`${service.url}/livez`)).text();
    await locking.query("rollback");
    const stream = await openStream(service, recipient, { token });
    await stream.waitFor(({ event }) => event === "ready");
    await expect.poll(() => metric(service, "bellwire_streams")).toBe(1);
  });

  test("gets 200, retry and an end when the service is full, so that a browser reconnects by itself", async () => {
    const service = await start({ MAX_STREAMS: "1" });
    await openStream(service, newRecipient());
    const second = await openStream(service, newRecipient());
    expect(second.status).toBe(200);
    await second.ended;
    expect(second.text()).toMatch(REFUSAL);
    expect(second.events).toMatchObject([{ event: "ping", id: undefined }]);
  });

  test("repeats the id that its client sent, because some clients forget it at an event without one", async () => {
    const service = await start({ MAX_STREAMS: "1" });
    const first = await openStream(service, newRecipient());
    const { id = "" } = await first.waitFor(({ event }) => event === "ready");
    for (const options of [{ lastEventId: id }, { query: `?lastEventId=${id}` }]) {
      const refused = await openStream(service, newRecipient(), options);
      await refused.ended;
      expect(refused.events).toMatchObject([{ event: "ping", id }]);
    }
    // What is none must lead to a reset also when it comes again.
    const refused = await openStream(service, newRecipient(), { lastEventId: "abc" });
    await refused.ended;
    expect(refused.events).toMatchObject([{ event: "ping", id: "unknown" }]);
  });

  test("is not opened by a second request on the connection of a stream, which continues", async () => {
    const service = await start();
    const recipient = newRecipient();
    const socket = connect(Number(new URL(service.url).port), "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    let heard = "";
    socket.setEncoding("utf8").on("data", (text) => {
      heard += text;
    });
    const request = `GET /api/notifications/stream HTTP/1.1\r\nHost: bell\r\nAuthorization: Bearer ${await service.token(recipient)}\r\n\r\n`;
    socket.write(request + request);
    await expect.poll(() => heard).toContain("event: ready");
    await notify(recipient, "still here");
    await expect.poll(() => heard).toContain("still here");
    expect(heard.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(await metric(service, "bellwire_streams")).toBe(1);
  });

  test("is not opened by HEAD", async () => {
    const service = await start();
    const response = await fetch(`${service.url}/api/notifications/stream`, {
      method: "HEAD",
      headers: { authorization: `Bearer ${await service.token("1")}` },
    });
    expect(response.status).toBe(200);
    expect(await metric(service, "bellwire_streams")).toBe(0);
  });
});

describe("a stream ends", () => {
  test("when its token expires, and says so first", async () => {
    const service = await start();
    const recipient = newRecipient();
    // On a busy machine two seconds were over before the stream was open: that is a 401.
    const token = await service.token(recipient, 6);
    const stream = await openStream(service, recipient, { token });
    await stream.ended;
    expect(stream.events.filter(({ event }) => event === "auth").map(({ data }) => data)).toEqual([
      { reason: "expiring" },
      { reason: "expired" },
    ]);
    expect(stream.events.at(-1)?.event).toBe("auth");
  });

  test("when its recipient is revoked, on every instance; an older token is refused, and a newer one is accepted", async () => {
    const services = [await start(), await start()] as const;
    const recipient = newRecipient();
    const token = await services[0].token(recipient);
    const streams = await Promise.all(services.map((s) => openStream(s, recipient, { token })));
    await Promise.all(streams.map((s) => s.waitFor(({ event }) => event === "ready")));
    await database.query("select bellwire.revoke($1)", [recipient]);
    for (const stream of streams) {
      await stream.ended;
      expect(stream.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });
    }
    expect((await openStream(services[1], recipient, { token })).status).toBe(401);
    await database.query(
      "update bellwire.revocations set revoked_at = now() - interval '40 seconds' where recipient_id = $1",
      [recipient],
    );
    const fresh = await openStream(services[1], recipient);
    await fresh.waitFor(({ event }) => event === "ready");
  });

  test("with a retry of its own when the service stops, and no stream is left", async () => {
    const service = await start();
    const streams = await Promise.all([1, 2, 3].map(() => openStream(service, newRecipient())));
    await Promise.all(streams.map((s) => s.waitFor(({ event }) => event === "ready")));
    await service.close();
    await Promise.all(streams.map((s) => s.ended));
    const retries = streams.map((s) => Number(LAST_WORDS.exec(s.text())?.[1]));
    for (const retry of retries) expect(retry).toBeGreaterThanOrEqual(100);
    for (const retry of retries) expect(retry).toBeLessThanOrEqual(300);
    expect(new Set(retries).size).toBe(3);
  });

  test("when its client does not read for too long, and what it missed is replayed", async () => {
    const service = await start({
      STALLED_SECONDS: "1",
      MAX_BUFFERED_BYTES: "65536",
      MAX_EVENT_BYTES: "0",
    });
    const recipient = newRecipient();
    const { port } = new URL(service.url);
    const socket = connect(Number(port), "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    const token = await service.token(recipient);
    socket.write(
      `GET /api/notifications/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    socket.pause();
    const other = await openStream(service, newRecipient());
    await other.waitFor(({ event }) => event === "ready");
    await expect.poll(() => metric(service, "bellwire_streams")).toBe(2);
    // More than the kernel takes on loopback.
    const big = "x".repeat(1_000_000);
    for (let i = 0; i < 12; i++) await notify(recipient, big);
    await expect.poll(() => metric(service, "bellwire_streams"), { timeout: 15_000 }).toBe(1);
    expect(await metric(service, 'bellwire_stream_closes_total{reason="slow"}')).toBe(1);
  });
});

describe("a quiet stream", () => {
  test.each([
    ["HEARTBEAT_SECONDS", { HEARTBEAT_SECONDS: "1", PING_SECONDS: "3600" }],
    ["PING_SECONDS", { HEARTBEAT_SECONDS: "3600", PING_SECONDS: "1" }],
  ])("is kept open by pings without an id, and by nothing else, every %s", async (_, env) => {
    const service = await start(env);
    const stream = await openStream(service, newRecipient());
    const pings = () => stream.events.filter(({ event }) => event === "ping");
    await expect.poll(() => pings().length, { timeout: 10_000 }).toBeGreaterThan(2);
    for (const ping of pings())
      expect(ping).toMatchObject({ data: { time: expect.any(String) }, id: undefined });
    // No comment: it is an empty message for some clients, and glued to the next event for others.
    expect(stream.text()).not.toMatch(/^:/m);
    expect(stream.events.map(({ event }) => event)).not.toContain("message");
  });
});

test("a stream can resume on another instance and after a restart", async () => {
  const recipient = newRecipient();
  const [one, other] = [await start(), await start()];
  const stream = await openStream(one, recipient);
  await stream.waitFor(({ event }) => event === "ready");
  await notify(recipient, "on one");
  await stream.take(1);
  await one.close();
  await notify(recipient, "between");
  const moved = await openStream(other, recipient, { lastEventId: stream.lastId() ?? "" });
  expect(titles(await moved.take(1))).toEqual(["between"]);
  await other.close();
  await notify(recipient, "while nothing runs");
  const again = await openStream(await start(), recipient, { lastEventId: moved.lastId() ?? "" });
  expect(titles(await again.take(1))).toEqual(["while nothing runs"]);
});

test("revocations and times are correct whatever the database's time zone", async () => {
  const elsewhere = await createDatabase();
  onTestFinished(() => elsewhere.close());
  await elsewhere.query(
    "do $$ begin execute format('alter database %I set timezone = %L', current_database(), 'America/New_York'); end $$",
  );
  const service = await startService({ databaseUrl: elsewhere.url });
  const token = await service.token("7");
  const stream = await openStream(service, "7", { token });
  await stream.waitFor(({ event }) => event === "ready");
  await elsewhere.query("select bellwire.notify('7', 'test')");
  const [event] = await stream.take(1);
  const list = await call(service, "7", "/");
  expect(list.body.notifications[0].createdAt).toBe(event?.data.createdAt);
  expect(Math.abs(Date.now() - Date.parse(event?.data.createdAt))).toBeLessThan(60_000);
  await call(service, "7", `/${event?.data.id}`, { method: "PATCH", body: { read: true } });
  const [row] = await elsewhere.query<{ close: boolean }>(
    "select abs(extract(epoch from now() - read_at)) < 60 as close from bellwire.notifications",
  );
  expect(row?.close).toBe(true);
  await elsewhere.query("select bellwire.revoke('7')");
  await stream.ended;
  expect((await openStream(service, "7", { token })).status).toBe(401);
});

async function metric(service: Service, name: string): Promise<number> {
  const text = await (await fetch(service.metricsUrl)).text();
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.split(" ").at(-1) ?? 0);
}

const wakeUps = (service: Service) => metric(service, "bellwire_wakeups_total");

// biome-ignore lint/suspicious/noExplicitAny: the data of any event
const idsOf = (data: any): string[] =>
  data.changes ? data.changes.map(({ id }: { id: string }) => id) : [data.id];
