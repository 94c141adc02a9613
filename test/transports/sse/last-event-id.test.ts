import { once } from "node:events";
import { connect } from "node:net";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream } from "../../support/event-source.ts";
import { call, openService, type Service } from "../../support/service.ts";

let database: TestDatabase;
let service: Service;

beforeAll(async () => {
  database = await createDatabase();
  const env = { MAX_STREAMS_PER_RECIPIENT: "1000" };
  service = await openService({ databaseUrl: database.url, env });
  return async () => {
    await service.close();
    await database.close();
  };
});

/** Sends a request as bytes, because no client would send these. Resolves with the response up to `until`, or with all of it. */
async function ask(request: Buffer, until?: string): Promise<string> {
  const socket = connect(Number(new URL(service.url).port), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  socket.write(request);
  let text = "";
  for await (const chunk of socket) {
    text += chunk;
    // Its data line comes in the same write.
    if (until && text.includes(until)) break;
  }
  socket.destroy();
  return text;
}

const head = async (recipientId: string, path: string, ...lines: string[]) =>
  [
    `GET /api/notifications/stream${path} HTTP/1.1`,
    "Host: x",
    `Authorization: Bearer ${await service.token(recipientId)}`,
    ...lines,
  ].join("\r\n");

/** The text of the stream up to the first event after ready. */
async function askWithHeader(value: Buffer, name = "Last-Event-ID"): Promise<string> {
  const request = Buffer.concat([
    Buffer.from(`${await head("9", "")}\r\n${name}: `),
    value,
    Buffer.from("\r\n\r\n"),
  ]);
  return ask(request, "event: reset");
}

const HOSTILE: Record<string, string> = {
  "a word": "abc",
  "minus one": "-1",
  zero: "0",
  "a huge number": "1e30",
  "2^64 - 1": "18446744073709551615",
  "2^63 as an id": "9223372036854775808",
  "SQL that ends a string": "' or 1=1 --",
  "SQL that ends a statement": "'; drop table bellwire.notifications; --",
  "a snapshot of PostgreSQL": "10:20:15",
  "no version": ".00000000.rs._",
  "another version": "v2.00000000.rs._",
  "no epoch": "v1..rs._",
  "an epoch in capitals": "v1.ABCDEF00.rs._",
  "no xmax": "v1.00000000.._",
  "a transaction below the first": "v1.00000000.3.zzzz_",
  "a gap of zero": "v1.00000000.rs.0_",
  "an empty gap": "v1.00000000.rs.1--1_",
  "a gap at the end": "v1.00000000.rs.1-_",
  "a number with a sign": "v1.00000000.-5._",
  "a place without a read": "v1.00000000.rs..n5_",
  "half a read": "v1.00000000.rs..0._",
  "a read that ends before it begins": "v1.00000000.3..zz..n5_",
  "a place beyond any bigint": "v1.00000000.rs..0..nzzzzzzzzzzzzz_",
  "a place that is neither new nor changed": "v1.00000000.rs..0..x5_",
  "more gaps than fit": `v1.00000000.zzzzzz.${"1-".repeat(70)}1_`,
  "129 characters": `v1.00000000.${"z".repeat(116)}_`,
  "10 KB": "x".repeat(10_000),
  "10 KB of gaps": `v1.00000000.zzzzzz.${"1-".repeat(5000)}1_`,
  "two values": "v1.00000000.rs._, v1.00000000.rs._",
  "spaces around": "  v1 .00000000.rs._  x",
  "Latin-1": "v1.é.rs._",
  "UTF-8 and an emoji": "v1.😀.rs._",
  "a tab": "v1.\t.rs._",
  "an id without its end mark": "v1.00000000.rs.",
  "half of such an id": "v1.00000000.rs.3",
  "an impossible transaction, 2^32": "v1.00000000.1z141z4._",
  "an impossible transaction in progress": "v1.00000000.1z141z9.5_",
  "the word that we use for it": "unknown",
};

describe("a Last-Event-ID that is not a cursor gets 200, ready and reset", () => {
  const RESET =
    /^HTTP\/1\.1 200 OK\r\n.*event: ready\n.*event: reset\ndata: {"reason":"cursor_unknown"/s;

  test("in the header", async () => {
    for (const [name, value] of Object.entries(HOSTILE))
      expect(await askWithHeader(Buffer.from(value)), name).toMatch(RESET);
  });

  test("in the URL, which can carry any characters", async () => {
    const more = ["\0", "v1.00000000.rs._\0", "\r\n\r\n", "\u2028", "v1.00000000.rs._\n"];
    const paths = [...Object.values(HOSTILE), ...more].map(encodeURIComponent);
    for (const path of [...paths, "a&lastEventId=b", "%ff%fe"]) {
      const request = `${await head("9", `?lastEventId=${path}`)}\r\n\r\n`;
      expect(await ask(Buffer.from(request), "event: reset"), path).toMatch(RESET);
    }
  });
});

test("an id that was cut anywhere gets a reset, never silence", async () => {
  const first = await openStream(service, "7");
  await first.waitFor(({ event }) => event === "ready");
  await database.query(
    "select bellwire.notify('7', 'test', title => n::text) from generate_series(1, 3) n",
  );
  const [{ id = "" } = {}, , { id: last = "" } = {}] = await first.take(3);
  expect(id).toMatch(/^(?:[^.]*\.){6}[^.]+_$/); // within the read of all three
  const behindFourthDot = id.split(".").slice(0, 4).join(".").length + 1;
  for (const [text, cuts] of [
    [id, [behindFourthDot, behindFourthDot - 1, 2, id.length - 1]],
    [last, [last.length - 1, 5]],
    ["unknown", [6, 1]],
  ] as const)
    for (const cut of cuts) {
      const resumed = await openStream(service, "7", { lastEventId: text.slice(0, cut) });
      await resumed.waitFor(({ event }) => event === "reset");
      expect(resumed.events.map(({ event }) => event)).toEqual(["ready", "reset"]);
      resumed.close();
    }
  const whole = await openStream(service, "7", { lastEventId: id });
  expect((await whole.take(2)).map(({ data }) => data.title)).toEqual(["2", "3"]);
});

test("an empty one in the URL counts as missing", async () => {
  for (const path of ["", "?lastEventId=", "?last_event_id=", "?lastEventId=&last_event_id="]) {
    const text = await ask(Buffer.from(`${await head("9", path)}\r\n\r\n`), "event: ready");
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).not.toContain("event: reset");
  }
});

test("an empty header is what a cut left of an id: it gets a reset, unless the URL has an id", async () => {
  expect(await askWithHeader(Buffer.from(""))).toMatch(
    /event: reset\ndata: {"reason":"cursor_unkn/,
  );
  const { cursor } = (await call(service, "6", "")).body;
  await database.query("select bellwire.notify('6', 'test', title => 'missed')");
  const request = `${await head("6", `?lastEventId=${cursor}`, "Last-Event-ID:")}\r\n\r\n`;
  const text = await ask(Buffer.from(request), "event: notification");
  expect(text).toContain("missed");
  expect(text).not.toContain("event: reset");
});

test("of several in the URL the last one counts, whatever its name, and the header comes before all", async () => {
  const { cursor } = (await call(service, "5", "")).body;
  await database.query("select bellwire.notify('5', 'test', title => 'missed')");
  const resumes = [
    `?lastEventId=abc&lastEventId=${cursor}`,
    `?last_event_id=abc&last_event_id=${cursor}`,
    `?lastEventId=abc&last_event_id=${cursor}`,
    `?last_event_id=abc&lastEventId=${cursor}`,
    `?lastEventId=a&lastEventId=b&lastEventId=c&lastEventId=${cursor}&lastEventId=`,
  ];
  for (const query of resumes) {
    const stream = await openStream(service, "5", { query });
    expect((await stream.take(1))[0]?.data.title, query).toBe("missed");
    expect(stream.text()).not.toContain("event: reset");
    stream.close();
  }
  for (const query of [
    `?last_event_id=${cursor}&lastEventId=abc`,
    `?lastEventId=${cursor}&last_event_id=abc`,
  ]) {
    const stream = await openStream(service, "5", { query });
    await stream.waitFor(({ event }) => event === "reset");
    stream.close();
  }
  const header = await openStream(service, "5", {
    query: "?lastEventId=a&lastEventId=b",
    lastEventId: cursor,
  });
  expect((await header.take(1))[0]?.data.title).toBe("missed");
  // Array notations are parameters with other names.
  const array = await openStream(service, "5", { query: "?lastEventId[]=a&lastEventId[0]=b" });
  await array.waitFor(({ event }) => event === "ready");
  expect(array.text()).not.toContain("event: reset");
});

test("a NUL byte in any header is not valid HTTP (RFC 9110 §5.5), and harms nobody else", async () => {
  const other = await openStream(service, "8");
  await other.waitFor(({ event }) => event === "ready");
  for (const name of ["Last-Event-ID", "X-Anything"])
    expect(await askWithHeader(Buffer.from("v1.\0.rs._"), name)).toMatch(/^HTTP\/1\.1 400 /);
  await database.query("select bellwire.notify('8', 'test', title => 'still here')");
  expect((await other.take(1))[0]?.data.title).toBe("still here");
});

test("another recipient's cursor is only a position, and shows none of that recipient's data", async () => {
  const anna = await openStream(service, "anna");
  await anna.waitFor(({ event }) => event === "ready");
  await database.query("select bellwire.notify('anna', 'test', title => 'for Anna')");
  const [forAnna] = await anna.take(1);
  await database.query("select bellwire.notify('anna', 'test', title => 'more for Anna')");
  await database.query("select bellwire.notify('boris', 'test', title => 'for Boris')");
  const boris = await openStream(service, "boris", { lastEventId: forAnna?.id ?? "" });
  expect((await boris.take(1))[0]?.data.title).toBe("for Boris");
  expect(boris.text()).not.toContain("Anna");
});
