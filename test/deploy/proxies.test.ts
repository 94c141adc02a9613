import { execFileSync } from "node:child_process";
import { createServer, type IncomingMessage } from "node:http";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startServiceProcess } from "../faults/support/service-process.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openEvents } from "./support/events.ts";
import { isInstalled, PROXIES, type ProxyName, startProxy } from "./support/proxies.ts";
import { overHttp1, overHttp2 } from "./support/tls-fetch.ts";
import { openWatchers } from "./support/watchers.ts";

const NAMES = Object.keys(PROXIES) as ProxyName[];
const PROTOCOLS = { "HTTP/1.1": overHttp1, "HTTP/2": overHttp2 };
const STREAM = "/api/notifications/stream";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  return database.close;
});

const notify = (recipientId: string, title: string) =>
  database.query("select bellwire.notify($1, 'test', title => $2)", [recipientId, title]);

const startService = (env: Record<string, string> = {}) =>
  startServiceProcess({ databaseUrl: database.url, env: { TRUST_PROXY: "1", ...env } });

test.skipIf(!isInstalled("Caddy"))("the Caddyfile is formatted", () => {
  execFileSync(PROXIES.Caddy.path, ["fmt", "deploy/caddy/Caddyfile"]);
  const said = execFileSync(PROXIES.Caddy.path, ["fmt", "--diff", "deploy/caddy/Caddyfile"]);
  expect(`${said}`).not.toMatch(/^[+-]/m);
});

describe.each(NAMES.filter(isInstalled))("behind %s with its file of deploy/", (name) => {
  test.each(Object.entries(PROTOCOLS))(
    "%s: a row arrives at once, uncompressed, and a stream resumes",
    async (_, over) => {
      const service = await startService({ HEARTBEAT_SECONDS: "3600", PING_SECONDS: "3600" });
      const proxy = await startProxy(name, service.port);
      const recipient = `${name} ${over.name}`;
      const headers = {
        authorization: `Bearer ${await service.token(recipient)}`,
        "accept-encoding": "gzip, deflate, br",
      };
      const open = (further = {}) =>
        openEvents(over(proxy.ca), `${proxy.url}${STREAM}`, { ...headers, ...further });
      const stream = await open();
      expect(stream.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
      expect(stream.headers.get("content-encoding") ?? "identity").toBe("identity");
      await stream.waitFor(({ event }) => event === "ready");
      await notify(recipient, "live");
      const row = await stream.waitFor(({ event }) => event === "notification");
      expect(row.data.title).toBe("live");
      stream.close();
      await notify(recipient, "missed");
      const again = await open({ "last-event-id": row.id });
      const missed = await again.waitFor(({ event }) => event === "notification");
      expect(missed.data.title).toBe("missed");
    },
  );

  test("the service sees the client's address, its host with the port and no hop-by-hop header", async () => {
    const seen: IncomingMessage[] = [];
    const server = createServer((req, res) => {
      seen.push(req);
      res.end();
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await expect.poll(() => server.listening).toBe(true);
    const { port } = server.address() as { port: number };
    const proxy = await startProxy(name, port);
    const forged = {
      "x-forwarded-for": "192.0.2.1",
      cookie: "session=x",
      "last-event-id": "a",
    };
    for (const path of [STREAM, "/api/notifications", "/bellwire.js"]) {
      seen.length = 0;
      await (await overHttp1(proxy.ca)(`${proxy.url}${path}`, { headers: forged })).text();
      const [{ headers = {} } = {}] = seen;
      // With TRUST_PROXY=1 the last one counts.
      expect(String(headers["x-forwarded-for"]).split(", ").at(-1)).toBe("127.0.0.1");
      expect(headers.host, path).toBe(new URL(proxy.url).host);
      // None of the proxy's own. Caddy and HAProxy pass a client's Upgrade on, and the service ignores it (test/api/fuzz.test.ts).
      expect(headers.connection ?? "keep-alive").toMatch(/^(keep-alive|close)$/i);
      expect(headers).not.toHaveProperty("upgrade");
      expect(headers).toMatchObject({ cookie: "session=x" });
      if (path !== "/bellwire.js") expect(headers).toMatchObject({ "x-forwarded-proto": "https" });
      if (path === STREAM) expect(headers).toMatchObject({ "last-event-id": "a" });
      await (await overHttp2(proxy.ca)(`${proxy.url}${path}`)).text();
      expect(seen.at(-1)?.headers.host, path).toBe(new URL(proxy.url).host);
    }
  });

  test("no log has a ticket", async () => {
    const service = await startService();
    const proxy = await startProxy(name, service.port);
    const fetchIt = overHttp1(proxy.ca);
    await (await fetchIt(`${proxy.url}${STREAM}?ticket=canary-ticket`)).text();
    await (await fetchIt(`${proxy.url}/api/notifications?limit=1`)).text();
    await expect.poll(proxy.logged).toContain("/api/notifications");
    expect(await proxy.logged()).not.toContain("canary-ticket");
  });

  test.skipIf(!PROXIES[name].hasten)(
    "heartbeats keep a quiet stream open past the proxy's idle time-out, which cuts it without them",
    async () => {
      const open = async (heartbeatSeconds: number) => {
        const seconds = `${heartbeatSeconds}`;
        const service = await startService({ HEARTBEAT_SECONDS: seconds, PING_SECONDS: seconds });
        const proxy = await startProxy(name, service.port, { hasten: true });
        const headers = { authorization: `Bearer ${await service.token("quiet")}` };
        return openEvents(overHttp1(proxy.ca), `${proxy.url}${STREAM}`, headers);
      };
      const [beating, mute] = await Promise.all([open(1), open(3600)]);
      await mute.ended;
      // By then the other one, opened at about the same time, would have been cut too.
      const afterwards = Date.now() + 3000;
      await beating.waitFor(
        ({ event, data }) => event === "ping" && Date.parse(data.time) > afterwards,
      );
    },
  );

  test("a client that reads nothing does not make the proxy take megabytes", async () => {
    let taken = 0;
    const server = createServer((_, res) => {
      res.writeHead(200, {
        "content-type": "text/event-stream",
        "cache-control": "no-cache, no-transform",
        "content-encoding": "identity",
        "x-accel-buffering": "no",
      });
      const more = () => {
        while (taken < 64 * 2 ** 20 && res.write("x".repeat(65_536))) taken += 65_536;
        taken += 65_536;
      };
      res.on("drain", more);
      more();
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close().closeAllConnections());
    await expect.poll(() => server.listening).toBe(true);
    const proxy = await startProxy(name, (server.address() as { port: number }).port);
    taken = 0;
    const response = await overHttp1(proxy.ca)(`${proxy.url}${STREAM}`);
    onTestFinished(() => response.body?.cancel());
    let before = -1;
    await expect
      .poll(
        () => {
          const isStill = taken === before;
          before = taken;
          return isStill;
        },
        { interval: 500 },
      )
      .toBe(true);
    console.log(`${name} took ${(taken / 2 ** 20).toFixed(1)} MiB for a client that reads nothing`);
    // Two connections over the loopback, each with what the kernel takes to send (tcp_wmem, 4 MiB) and lets wait to be read (tcp_rmem,
    // 6 MiB or more). A proxy that buffers takes all 64.
    expect(taken).toBeLessThan(32 * 2 ** 20);
  });

  test.each(Object.entries(PROTOCOLS))(
    "%s: a reload of the proxy and a restart of the service lose nothing, and end no EventSource",
    async (protocol, over) => {
      const service = await startService();
      const proxy = await startProxy(name, service.port);
      const { token } = service;
      const watchers = await openWatchers({
        ...{ url: proxy.url, token, databaseUrl: database.url, count: 6 },
        fetchWith: over(proxy.ca) as typeof fetch,
      });
      await proxy.reload();
      await watchers.hearAgain();
      const stoppedAt = performance.now();
      await service.restart();
      const awayMs = performance.now() - stoppedAt;
      await watchers.hearAgain();
      const silenceMs = await watchers.finish();
      const [silence, away] = [silenceMs, awayMs].map((ms) => `${(ms / 1000).toFixed(1)} s`);
      console.log(`${name}, ${protocol}: silent for ${silence}; the service was away for ${away}`);
      // On a busy machine the service takes seconds to start. The rest is the proxy's `retry`, at most twice.
      expect(silenceMs - awayMs).toBeLessThan(3000);
    },
  );

  test("while the service is away for long, a client is told to retry, with its id", {
    timeout: 60_000,
  }, async () => {
    const service = await startService();
    const proxy = await startProxy(name, service.port);
    await service.kill();
    const response = await overHttp1(proxy.ca)(`${proxy.url}${STREAM}`, {
      headers: { "last-event-id": "v1.something_" },
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const text = await response.text();
    expect(text).toMatch(/^retry: \d{4}\nevent: ping\ndata: \{.*\}\nid: v1\.something_\n\n+$/);
    const other = await overHttp1(proxy.ca)(`${proxy.url}/api/notifications/unread-count`);
    expect([502, 503]).toContain(other.status);
  });
});

test.skipIf(!isInstalled("nginx"))(
  "nginx with the shipped file holds two thousand streams, and passes a row to each",
  { timeout: 180_000 },
  async () => {
    const [streams, perRecipient] = [2000, 10];
    const service = await startService({ MAX_STREAMS_PER_RECIPIENT: `${perRecipient}` });
    const proxy = await startProxy("nginx", service.port);
    const recipients = Array.from({ length: streams / perRecipient }, (_, i) => `crowd ${i}`);
    let heard = 0;
    // One recipient after the other: this process also speaks TLS for all of them.
    for (const recipient of recipients) {
      const headers = { authorization: `Bearer ${await service.token(recipient)}` };
      const opened = await Promise.all(
        Array.from({ length: perRecipient }, () =>
          openEvents(overHttp1(proxy.ca), `${proxy.url}${STREAM}`, headers),
        ),
      );
      for (const { waitFor } of opened) {
        await waitFor(({ event }) => event === "ready");
        waitFor(({ event }) => event === "notification").then(() => heard++);
      }
    }
    expect((await service.metrics())("bellwire_streams")).toBe(streams);
    await database.query("select bellwire.notify(id, 'test') from unnest($1::text[]) id", [
      recipients,
    ]);
    await expect.poll(() => heard, { timeout: 30_000 }).toBe(streams);
  },
);
