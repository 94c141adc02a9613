import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { DOCTOR_HEADER } from "../../src/http/hop.ts";
import { Status } from "../../src/metrics/status.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream } from "../support/event-source.ts";
import { call, openService, type Service, startService } from "../support/service.ts";

const MESSAGE = "insert into messages (sender_id, recipient_id, body) values (1, $1, $2)";
const isReady = ({ event }: { event: string }) => event === "ready";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({
    databaseUrl: database.url,
    env: { HOST: "0.0.0.0", TRUST_PROXY: "1", ALLOWED_ORIGINS: "https://shop.example" },
  });
  return () => service.close();
});
afterAll(() => database.close());

const statusUrl = ({ metricsUrl }: Service) => metricsUrl.replace("/metrics", "/status.json");

async function readStatus(of = service): Promise<Status> {
  const response = await fetch(statusUrl(of));
  expect(response.status).toBe(200);
  return Status.strict().parse(await response.json());
}

/** The status code for a request with these headers, which `fetch` would not let us choose. */
async function statusCode(url: string, headers: Record<string, string> = {}): Promise<number> {
  const sent = request(url, { headers }).end();
  const [response] = await once(sent, "response");
  response.resume();
  return response.statusCode;
}

const hopOf = async (doctor: string) =>
  (await readStatus()).requests.find((hop) => hop.doctor === doctor);

describe("only programs on this machine may read it", () => {
  const port = () => new URL(service.metricsUrl).port;
  const at = (host: string) => `http://${host}:${port()}/status.json`;

  test("by any name of the loopback", async () => {
    expect(await statusCode(at("127.0.0.1"))).toBe(200);
    expect(await statusCode(at("127.8.8.8"))).toBe(200);
    expect(await statusCode(at("127.0.0.1"), { host: "LocalHost" })).toBe(200);
  });

  test("a caller from another address gets 404, whatever its headers say", async () => {
    const own = Object.values(networkInterfaces())
      .flat()
      .find((address) => address?.family === "IPv4" && !address.internal);
    if (!own) return console.log("skipped: this machine has no address but the loopback's");
    expect(await statusCode(at(own.address))).toBe(404);
    const claims = { host: "localhost", "x-forwarded-for": "127.0.0.1" };
    expect(await statusCode(at(own.address), claims)).toBe(404);
    expect(await statusCode(at(own.address), { host: "localhost" })).toBe(404);
    expect(await statusCode(at(own.address).replace("status.json", "metrics"))).toBe(200);
  });

  test.each([
    ["a proxy on this machine", { "x-forwarded-for": "203.0.113.9" }],
    ["a proxy that says it is local", { "x-forwarded-for": "127.0.0.1" }],
    ["a proxy with RFC 7239's header", { forwarded: "for=203.0.113.9" }],
    ["a proxy that only names itself", { via: "1.1 front" }],
    ["a page whose host name was made to lead here", { host: "evil.example" }],
  ])("%s gets 404", async (_, headers) => {
    expect(await statusCode(at("127.0.0.1"), headers)).toBe(404);
  });

  test("nginx on this machine, which by default asks with HTTP/1.0 and names itself nowhere, gets 404", async () => {
    const ask = async (version: string) => {
      const socket = connect(Number(port()), "127.0.0.1");
      socket.write(
        `GET /status.json HTTP/${version}\r\nHost: 127.0.0.1:${port()}\r\nConnection: close\r\n\r\n`,
      );
      return (await text(socket)).slice(0, 12);
    };
    expect(await ask("1.0")).toBe("HTTP/1.1 404");
    expect(await ask("1.1")).toBe("HTTP/1.1 200");
  });

  test("a caller over IPv6 or an IPv4-mapped address may", async () => {
    const other = await startService({ databaseUrl: database.url, env: { HOST: "::" } });
    const { port } = new URL(other.metricsUrl);
    expect(await statusCode(`http://[::1]:${port}/status.json`)).toBe(200);
    expect(await statusCode(`http://127.0.0.1:${port}/status.json`)).toBe(200); // ::ffff:127.0.0.1
  });

  test("the public port does not have it", async () => {
    expect(await statusCode(`${service.url}/status.json`)).toBe(404);
  });
});

describe("it shows", () => {
  test("who is connected, as numbers, and what was delivered", async () => {
    const own = await startService({ databaseUrl: database.url });
    const streams = [
      await openStream(own, "a recipient"),
      await openStream(own, "a recipient"),
      await openStream(own, "another recipient"),
    ];
    for (const stream of streams) await stream.waitFor(isReady);
    await database.query("select bellwire.notify('a recipient', 'note', title => 'a title')");
    for (const stream of streams.slice(0, 2)) await stream.take(1);

    const status = await readStatus(own);
    expect(status.connected).toMatchObject({ streams: 3, waitingPolls: 0, recipients: 2 });
    expect(status.totals).toMatchObject({
      delivered: { notification: 2, state: 0 },
      streamsOpened: 3,
      streamsClosed: {},
    });
    expect(status.totals.rowsRead).toBeGreaterThan(0);
    expect(status.totals.wakeUps).toBeGreaterThan(0);
    expect(status.lag.delivery?.count).toBe(2);
    expect(status.lag.delivery?.p99Seconds).toBeLessThan(10);
    expect(status.lag.probeSeconds).toBeGreaterThan(0);
    expect(status.lag.readAgeSeconds).toBeLessThan(10);
    expect(status.health).toEqual({ problems: [], warnings: [] });
    expect(JSON.stringify(status)).not.toMatch(/a recipient|another recipient|a title/);

    streams[0]?.close();
    await vi.waitFor(async () =>
      expect(await readStatus(own)).toMatchObject({
        connected: { streams: 2, recipients: 2 },
        totals: { streamsOpened: 3, streamsClosed: { client: 1 } },
      }),
    );
  });

  test("the settings in effect, and no secret", async () => {
    const status = await readStatus();
    expect(status.settings).toMatchObject({
      HOST: "0.0.0.0",
      TRUST_PROXY: 1,
      ALLOWED_ORIGINS: ["https://shop.example"],
      JWT_COOKIE: null,
      HEARTBEAT_SECONDS: 15,
      MAX_STREAMS: 20_000,
      MAX_NEW_STREAMS_PER_SECOND: 0,
    });
    expect(JSON.stringify(status)).not.toMatch(/a secret that is long|postgres/);
  });

  test("how the feed reads, and the pools", async () => {
    await vi.waitFor(async () => {
      await database.query(MESSAGE, [2, "a new row"]);
      const { feed, totals } = await readStatus();
      expect(feed).toEqual({ isBusy: false, hasSession: true, sessionProblem: null });
      expect(totals.reads.session).toBeGreaterThan(0);
    });
    const { pools } = await readStatus();
    expect(pools.requests.size).toBe(5);
    expect(pools.feed.open).toBeGreaterThan(0);
  });

  test("the last warnings, without what was asked", async () => {
    const own = await startService({ databaseUrl: database.url });
    await fetch(`${own.url}/readyz`, { headers: { "x-forwarded-for": "203.0.113.9" } });
    const { lastErrors } = await readStatus(own);
    expect(lastErrors).toEqual([
      {
        time: expect.any(String),
        level: "warn",
        message: expect.stringMatching(/TRUST_PROXY is 0/),
      },
    ]);
  });
});

describe("the last requests", () => {
  const get = (path: string, headers: Record<string, string> = {}) =>
    statusCode(`${service.url}/api/notifications${path}`, headers);

  test("are shown as TRUST_PROXY saw them, without what is secret", async () => {
    await get("/unread-count?ticket=canary", {
      [DOCTOR_HEADER]: "first1",
      authorization: "Bearer canary",
      cookie: "session=canary",
      "last-event-id": "canary",
      "x-forwarded-for": "198.51.100.7, 203.0.113.9",
      "x-forwarded-proto": "https",
      host: "bell.example",
      "user-agent": "a\u009bbrowser",
    });
    expect(await hopOf("first1")).toEqual({
      time: expect.any(String),
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      doctor: "first1",
      method: "GET",
      path: "/api/notifications/unread-count",
      httpVersion: "1.1",
      host: "bell.example",
      socketAddress: "127.0.0.1",
      forwardedFor: 2,
      clientAddress: "203.0.113.9",
      forwardedProto: "https",
      hasAuthorization: true,
      hasCookie: true,
      hasLastEventId: true,
      userAgent: "a?browser",
    });
    const text = JSON.stringify((await readStatus()).requests);
    expect(text).not.toMatch(/canary|198\.51\.100\.7/);
  });

  test("tell what did not arrive", async () => {
    await get("/unread-count", { [DOCTOR_HEADER]: "bare" });
    expect(await hopOf("bare")).toMatchObject({
      forwardedFor: 0,
      clientAddress: "127.0.0.1",
      forwardedProto: null,
      hasAuthorization: false,
      hasCookie: false,
      hasLastEventId: false,
      userAgent: null,
    });
  });

  test("have the request id of the response, also of a stream", async () => {
    const response = await fetch(`${service.url}/api/notifications/stream`, {
      headers: {
        [DOCTOR_HEADER]: "stream",
        authorization: `Bearer ${await service.token("2")}`,
      },
    });
    expect(response.status).toBe(200);
    expect(await hopOf("stream")).toMatchObject({
      path: "/api/notifications/stream",
      requestId: response.headers.get("x-request-id"),
      hasAuthorization: true,
    });
    await response.body?.cancel();
  });

  test("are at most 20, and none pushes out a marked one", async () => {
    await get("/unread-count", { [DOCTOR_HEADER]: "kept" });
    for (let n = 0; n < 25; n++) await call(service, "2", `/unread-count?n=${n}`);
    const { requests } = await readStatus();
    expect(requests.filter(({ doctor }) => doctor === null)).toHaveLength(20);
    expect(requests.map(({ doctor }) => doctor)).toContain("kept");
    const times = requests.map(({ time }) => time);
    expect(times).toEqual([...times].sort());
  });

  test.each(["a b", "<script>", "", "x".repeat(65)])("a mark like %j is ignored", async (mark) => {
    await get("/a-bad-mark", { [DOCTOR_HEADER]: mark });
    const { requests } = await readStatus();
    expect(requests.findLast(({ path }) => path.endsWith("/a-bad-mark"))?.doctor).toBeNull();
  });

  test("are those of the API alone, and a long path is cut", async () => {
    await statusCode(`${service.url}/livez`, { [DOCTOR_HEADER]: "livez" });
    expect(await hopOf("livez")).toBeUndefined();
    await get(`/${"a".repeat(500)}`, { [DOCTOR_HEADER]: "long" });
    expect((await hopOf("long"))?.path).toHaveLength(60);
  });
});
