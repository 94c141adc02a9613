import { readFileSync } from "node:fs";
import { EventSource } from "eventsource";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream, REFUSAL } from "../../support/event-source.ts";
import { hasNginx, startNginx } from "../../support/nginx.ts";
import { type Service, startService } from "../../support/service.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

const notify = (recipientId: string, title: string) =>
  database.query("select bellwire.notify($1, 'test', title => $2)", [recipientId, title]);

const through = (service: Service, { url }: { url: string }): Service => ({ ...service, url });

/** The configuration that somebody writes without reading our documentation. */
const plain = ({ url }: Service) => ({ locations: `location / { proxy_pass ${url}; }` });

const shipped = ({ url }: Service) => ({
  locations: readFileSync("deploy/nginx/bellwire.conf", "utf8"),
  http: `upstream bellwire { server ${url.slice("http://".length)}; keepalive 64; }`,
});

/** An EventSource of the HTML standard. It sends in a header the token that a browser would have in a cookie. */
function openEventSource(url: string, token: string) {
  const source = new EventSource(`${url}/api/notifications/stream`, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } }),
  });
  onTestFinished(() => source.close());
  const titles: string[] = [];
  source.addEventListener("notification", ({ data }) => titles.push(JSON.parse(data).title));
  /** Resolves when it has a position to resume at, which being open does not mean. */
  const ready = new Promise((resolve) => source.addEventListener("ready", resolve));
  return { source, titles, ready };
}

describe.skipIf(!hasNginx)("behind Debian's nginx", () => {
  describe.each([
    ["with its defaults", plain],
    ["with deploy/nginx/bellwire.conf", shipped],
  ])("%s", (_, configuration) => {
    test("each event arrives at once, also the first, without a following one that pushes it out", async () => {
      const service = await startService({
        databaseUrl: database.url,
        // An event may be larger than all of nginx's buffers together.
        env: { HEARTBEAT_SECONDS: "3600", PING_SECONDS: "3600", MAX_EVENT_BYTES: "0" },
      });
      const nginx = await startNginx(configuration(service));
      const stream = await openStream(through(service, nginx), "1");
      await stream.waitFor(({ event }) => event === "ready");
      expect(stream.headers.get("server")).toMatch(/^nginx/);
      for (const title of ["one", "two", "x".repeat(100_000)]) {
        await notify("1", title);
        expect((await stream.take(1))[0]?.data.title).toBe(title);
      }
    });

    test("a client that leaves is noticed", async () => {
      const service = await startService({ databaseUrl: database.url });
      const nginx = await startNginx(configuration(service));
      const stream = await openStream(through(service, nginx), "1");
      await stream.waitFor(({ event }) => event === "ready");
      const open = async () =>
        /^bellwire_streams (\d+)$/m.exec(await text(service.metricsUrl))?.[1];
      expect(await open()).toBe("1");
      stream.close();
      await expect.poll(open).toBe("0");
    });
  });

  test("deploy/nginx/bellwire.conf keeps an EventSource alive while the service restarts", async () => {
    const service = await startService({ databaseUrl: database.url });
    const nginx = await startNginx(shipped(service));
    const token = await service.token("2");
    const { source, titles, ready } = openEventSource(nginx.url, token);
    await ready;
    await service.close();
    const away = await fetch(`${nginx.url}/api/notifications/stream`);
    expect(away.status).toBe(200);
    expect(away.headers.get("content-type")).toBe("text/event-stream");
    expect(await away.text()).toMatch(REFUSAL);
    // Some clients forget their id when the first event has none.
    const headers = { "Last-Event-ID": "v1.something" };
    expect(await (await fetch(away.url, { headers })).text()).toMatch(/\nid: v1\.something\n\n$/);
    expect((await fetch(`${nginx.url}/api/notifications/unread-count`)).status).toBe(502);
    await notify("2", "while away");
    expect(source.readyState).toBe(EventSource.CONNECTING);
    const port = Number(new URL(service.url).port);
    await startService({ databaseUrl: database.url, port });
    await expect.poll(() => titles, { timeout: 15_000 }).toEqual(["while away"]);
  });

  test("with nginx's defaults the same restart ends it for good, so the file is needed", async () => {
    const service = await startService({ databaseUrl: database.url });
    const nginx = await startNginx(plain(service));
    const { source } = openEventSource(nginx.url, await service.token("2"));
    await expect.poll(() => source.readyState).toBe(EventSource.OPEN);
    await service.close();
    await expect.poll(() => source.readyState, { timeout: 15_000 }).toBe(EventSource.CLOSED);
  });
});

const text = async (url: string) => (await fetch(url)).text();
