import { afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { LAST_WORDS, openStream } from "../support/event-source.ts";
import { openService, type Service, startService } from "../support/service.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

afterEach(() => void vi.useRealTimers());

const start = (env: Record<string, string>) => startService({ databaseUrl: database.url, env });
const notify = (title: string) =>
  database.query("select bellwire.notify('1', 'test', title => $1)", [title]);

/**
 * Notifies without a pause when the stream has begun, and again from a moment before `endsAt`, the earliest time of its end, until it
 * has ended. In between, notifications would only take processor time.
 */
async function notifyAtBothEnds(ended: Promise<void>, endsAt: number, nextTitle: () => string) {
  let isEnded = false;
  void ended.then(() => {
    isEnded = true;
  });
  for (let i = 0; i < 20; i++) await notify(nextTitle());
  await expect.poll(() => Date.now()).toBeGreaterThan(endsAt - 200);
  while (!isEnded) await notify(nextTitle());
}

describe("MAX_STREAM_SECONDS", () => {
  test("ends an old stream with a short retry; its successors miss and repeat nothing", async () => {
    const service = await start({ MAX_STREAM_SECONDS: "1" });
    const titles: string[] = [];
    let lastEventId: string | undefined;
    let sent = 0;
    for (let streams = 0; streams < 3; streams++) {
      // The age at which it is closed may be a fifth less.
      const endsAt = Date.now() + 800;
      const stream = await openStream(service, "1", lastEventId ? { lastEventId } : {});
      await stream.waitFor(({ event }) => event === "ready");
      await notifyAtBothEnds(stream.ended, endsAt, () => `${sent++}`);
      expect(Number(LAST_WORDS.exec(stream.text())?.[1])).toBeLessThanOrEqual(2000);
      lastEventId = stream.lastId() ?? "";
      for (const { event, data } of stream.events)
        if (event === "notification") titles.push(data.title);
    }
    const last = await openStream(service, "1", { lastEventId: lastEventId ?? "" });
    await notify("last");
    await last.waitFor(({ data }) => data.title === "last");
    for (const { event, data } of last.events)
      if (event === "notification") titles.push(data.title);
    expect(titles).toEqual([...Array.from({ length: sent }, (_, i) => `${i}`), "last"]);
    const metrics = await (await fetch(service.metricsUrl)).text();
    expect(metrics).toMatch(/bellwire_stream_closes_total{reason="max_age"} 3/);
  });
});

describe("the expiry of a token", () => {
  let service: Service;
  beforeAll(async () => {
    service = await openService({ databaseUrl: database.url });
    return service.close;
  });

  test("is announced and ends the stream within 5 s, and nothing comes after it; with a new token nothing is missed", async () => {
    const titles: string[] = [];
    let lastEventId: string | undefined;
    let sent = 0;
    for (let tokens = 0; tokens < 3; tokens++) {
      const token = await service.token("1", 5);
      const [, claims = ""] = token.split(".");
      const expiresAt = JSON.parse(Buffer.from(claims, "base64url").toString()).exp * 1000;
      const stream = await openStream(service, "1", {
        token,
        ...(lastEventId ? { lastEventId } : {}),
      });
      await stream.waitFor(({ event }) => event === "ready");
      await notifyAtBothEnds(stream.ended, expiresAt, () => `of a token ${sent++}`);
      expect(Date.now() - expiresAt).toBeLessThan(5000);
      // `expiring` is sent at once, because it was due a minute before the expiry, and so before the stream began.
      const reasons = stream.events.filter(({ event }) => event === "auth");
      expect(reasons.map(({ data }) => data.reason)).toEqual(["expiring", "expired"]);
      expect(stream.events.at(-1)).toEqual({
        event: "auth",
        data: { reason: "expired" },
        id: undefined,
      });
      expect(stream.text()).toMatch(/data: \{"reason":"expired"\}\n\n$/);
      lastEventId = stream.lastId() ?? "";
      for (const { event, data } of stream.events)
        if (event === "notification") titles.push(data.title);
    }
    const last = await openStream(service, "1", { lastEventId: lastEventId ?? "" });
    await notify("the last of a token");
    await last.waitFor(({ data }) => data.title === "the last of a token");
    for (const { event, data } of last.events)
      if (event === "notification") titles.push(data.title);
    expect(titles).toEqual([
      ...Array.from({ length: sent }, (_, i) => `of a token ${i}`),
      "the last of a token",
    ]);
  });

  test("is announced to the client a minute before", async () => {
    const stream = await openStream(service, "1", { token: await service.token("1", 62) });
    await stream.waitFor(({ event }) => event === "ready");
    expect(stream.events.map(({ event }) => event)).toEqual(["ready"]);
    const { data } = await stream.waitFor(({ event }) => event === "auth");
    expect(data).toEqual({ reason: "expiring" });
    await notify("goes on");
    expect((await stream.take(1))[0]?.data.title).toBe("goes on");
  });
});

describe("a step of the clock", () => {
  test.each([
    ["an hour forward", 3_600_000],
    ["an hour back", -3_600_000],
  ])(
    "%s neither ends a stream nor silences it, and loses and repeats nothing",
    async (_, stepMs) => {
      const service = await start({ HEARTBEAT_SECONDS: "1", PING_SECONDS: "1", SWEEP_MS: "50" });
      const token = await service.token("1", 600);
      const stream = await openStream(service, "1", { token });
      await stream.waitFor(({ event }) => event === "ready");
      await notify("before");
      await stream.take(1);

      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + stepMs });
      onTestFinished(() => void vi.useRealTimers());
      await notify("after");
      expect((await stream.take(1))[0]?.data.title).toBe("after");
      const pings = () => stream.events.filter(({ event }) => event === "ping").length;
      const rung = pings();
      await expect.poll(pings, { timeout: 10_000 }).toBeGreaterThan(rung);
      await notify("sentinel");
      expect((await stream.take(1))[0]?.data.title).toBe("sentinel");
      expect(stream.events.filter(({ event }) => event === "auth")).toEqual([]);
      expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
    },
  );
});
