import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream, REFUSAL } from "../support/event-source.ts";
import { throughRollCall } from "../support/roll-call.ts";
import { call, openService, type Service, startService } from "../support/service.ts";

const LIMIT = { MAX_STREAMS_PER_RECIPIENT: "3" };

let database: TestDatabase;
let shared: Service;
let recipients = 0;
const newRecipient = () => `recipient ${++recipients}`;

beforeAll(async () => {
  database = await createDatabase();
  shared = await openService({ databaseUrl: database.url, env: LIMIT });
  return async () => {
    await shared.close();
    await database.close();
  };
});

/** For a test that needs other limits, or that counts the waiting polls. */
const start = (env: Record<string, string> = {}) =>
  startService({ databaseUrl: database.url, env: { ...LIMIT, ...env } });

/** A proxy like HAProxy, Apache, Varnish and lighttpd: it notices that a client left at the second write after it. */
async function startLateProxy(service: Service): Promise<Service> {
  const server = createServer((client) => {
    const upstream = connect(Number(new URL(service.url).port), "127.0.0.1");
    let unsent = 0;
    client.pipe(upstream, { end: false });
    client.on("error", () => {});
    upstream.on("error", () => {});
    upstream.on("close", () => client.destroy());
    upstream.on("data", (bytes) => {
      if (!client.destroyed) client.write(bytes);
      else if (++unsent === 2) upstream.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { ...service, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** During `run` streams are admitted, but their first reads are not answered. */
async function withoutReads(run: () => Promise<void>) {
  const holder = await database.connect();
  await holder.query("begin; lock table bellwire.notifications in access exclusive mode");
  await run().finally(() => holder.query("rollback"));
}

async function load(service: Service, recipient: string) {
  const stream = await openStream(service, recipient);
  if (stream.status === 200) await stream.waitFor(({ event }) => event === "ready");
  return stream;
}

describe("behind a proxy that notices late that a client left", () => {
  test("a page that is reloaded again and again always gets its stream", async () => {
    const proxied = await startLateProxy(shared);
    const recipient = newRecipient();
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) {
      const stream = await load(proxied, recipient);
      statuses.push(stream.status);
      stream.close();
      await stream.ended;
    }
    expect(statuses).toEqual(Array(12).fill(200));
  });

  test("all tabs that are reloaded at once get their streams", async () => {
    const proxied = await startLateProxy(shared);
    const recipient = newRecipient();
    for (let round = 0; round < 3; round++) {
      const streams = await Promise.all([1, 2, 3].map(() => load(proxied, recipient)));
      expect(streams.map(({ status }) => status)).toEqual([200, 200, 200]);
      for (const stream of streams) stream.close();
      await Promise.all(streams.map(({ ended }) => ended));
    }
  });

  test("a page with one place that is reloaded faster than the limit is asked to come later", async () => {
    const proxied = await startLateProxy(
      await start({ MAX_STREAMS_PER_RECIPIENT: "1", MAX_NEW_STREAMS_PER_SECOND: "100" }),
    );
    const recipient = newRecipient();
    const statuses: number[] = [];
    const said: string[] = [];
    for (let i = 0; i < 4; i++) {
      const stream = await openStream(proxied, recipient);
      statuses.push(stream.status);
      await stream.waitFor(({ event }) => event === "ready" || event === "ping");
      said.push(stream.text());
      stream.close();
      await stream.ended;
    }
    expect(statuses).toEqual(Array(4).fill(200));
    expect(said.filter((text) => REFUSAL.test(text)).length).toBeGreaterThan(0);
  });

  test("a page that is reloaded while no stream can begin is never refused for good", async () => {
    const proxied = await startLateProxy(shared);
    const recipient = newRecipient();
    await withoutReads(async () => {
      const statuses: number[] = [];
      for (let i = 0; i < 8; i++) {
        const stream = await openStream(proxied, recipient);
        statuses.push(stream.status);
        stream.close();
        await stream.ended;
      }
      expect(statuses).toEqual(Array(8).fill(200));
    });
    expect((await load(proxied, recipient)).status).toBe(200);
  });

  test("polls of pages that have left keep no place", async () => {
    const proxied = await startLateProxy(await start());
    const recipient = newRecipient();
    const { cursor } = (await call(proxied, recipient, "/")).body;
    const headers = { authorization: `Bearer ${await proxied.token(recipient)}` };
    const abort = new AbortController();
    const waiting = /^bellwire_waiting_polls (\d+)$/m;
    const polls = [1, 2, 3].map(() =>
      fetch(`${proxied.url}/api/notifications/poll?since=${cursor}&wait=30`, {
        headers,
        signal: abort.signal,
      }).catch(() => {}),
    );
    const isWaiting = async () =>
      waiting.exec(await (await fetch(proxied.metricsUrl)).text())?.[1] === "3";
    await expect.poll(isWaiting).toBe(true);
    abort.abort();
    await Promise.all(polls);
    expect((await call(proxied, recipient, `/poll?since=${cursor}`)).status).toBe(200);
    expect((await load(proxied, recipient)).status).toBe(200);
  });
});

describe("while all clients are connected", () => {
  test("one more is refused within about a second, and the others get only a few pings", async () => {
    const recipient = newRecipient();
    const streams = await Promise.all([1, 2, 3].map(() => load(shared, recipient)));
    const askedAt = performance.now();
    // All of them share the same pings.
    const late = await Promise.all([1, 2, 3, 4].map(() => openStream(shared, recipient)));
    expect(late.map(({ status }) => status)).toEqual([429, 429, 429, 429]);
    expect(performance.now() - askedAt).toBeLessThan(3000);
    for (const { events } of streams) {
      const names = events.map(({ event }) => event);
      expect(names.slice(1).every((name) => name === "ping")).toBe(true);
      expect(names.length).toBeLessThanOrEqual(1 + 4);
    }
  });

  test("waiting polls are answered and repeated, and one more is refused", async () => {
    const service = await start();
    const recipient = newRecipient();
    const { cursor } = (await call(service, recipient, "/")).body;
    let isOver = false;
    const statuses: number[] = [];
    const present = [1, 2, 3].map(async () => {
      while (!isOver)
        statuses.push((await call(service, recipient, `/poll?since=${cursor}&wait=30`)).status);
    });
    const areOpen = async () =>
      /^bellwire_waiting_polls 3$/m.test(await (await fetch(service.metricsUrl)).text());
    const back = () => expect.poll(areOpen).toBe(true);
    await back();
    expect((await throughRollCall(() => openStream(service, recipient), back)).status).toBe(429);
    isOver = true;
    await database.query("select bellwire.notify($1, 'note', title => 'the end')", [recipient]);
    await Promise.all(present);
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});

test("a stream that has not begun within a heartbeat is told to reconnect, and keeps its position", async () => {
  const service = await start({ HEARTBEAT_SECONDS: "1" });
  const recipient = newRecipient();
  const { cursor } = (await call(service, recipient, "/")).body;
  await withoutReads(async () => {
    const openedAt = performance.now();
    const stream = await openStream(service, recipient, { lastEventId: cursor });
    await stream.ended;
    // Long before the read could end.
    expect(performance.now() - openedAt).toBeLessThan(5000);
    expect(REFUSAL.exec(stream.text())?.[2]).toBe(cursor);
  });
  const metrics = await (await fetch(service.metricsUrl)).text();
  expect(metrics).toContain('bellwire_stream_closes_total{reason="unavailable"} 1');
  const again = await openStream(service, recipient, { lastEventId: cursor });
  await again.waitFor(({ event }) => event === "ready");
});
