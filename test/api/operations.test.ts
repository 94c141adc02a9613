import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from "vitest";
import { administer, createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream, REFUSAL } from "../support/event-source.ts";
import { call, type Service, startService } from "../support/service.ts";

const MESSAGE = "insert into messages (sender_id, recipient_id, body) values (1, $1, $2)";
const isReady = ({ event }: { event: string }) => event === "ready";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

const start = (env: Record<string, string> = {}) =>
  startService({ databaseUrl: database.url, env });

/** Repeats the request until the response matches. */
const eventually = (check: () => Promise<void>) =>
  vi.waitFor(check, { timeout: 15_000, interval: 20 });

async function get(url: string) {
  const response = await fetch(url);
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  const body: any = await response.json();
  return { status: response.status, headers: response.headers, body };
}

/** The samples of /metrics, by name and labels as they are written there. */
async function readMetrics({ metricsUrl }: Service): Promise<Map<string, number>> {
  const response = await fetch(metricsUrl);
  expect(response.status).toBe(200);
  const lines = (await response.text()).split("\n").filter((line) => line && line[0] !== "#");
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(" ");
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

/** By how much a sample has changed since the last call for it. */
function createGauge(service: Service) {
  const seen = new Map<string, number>();
  return async (name: string): Promise<number> => {
    const value = (await readMetrics(service)).get(name) ?? 0;
    const moved = value - (seen.get(name) ?? 0);
    seen.set(name, value);
    return moved;
  };
}

describe("health", () => {
  test("a working service is live and ready", async () => {
    const service = await start();
    expect(await get(`${service.url}/livez`)).toMatchObject({
      status: 200,
      body: { status: "ok" },
    });
    expect(await get(`${service.url}/readyz`)).toMatchObject({
      status: 200,
      body: { status: "ok", problems: [] },
    });
  });

  test("a rule whose table was dropped and created again is a warning, and the service stays ready", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    await own.query("drop table public.reviews; create table public.reviews (id int)");
    const service = await startService({ databaseUrl: own.url });
    await eventually(async () => {
      expect(await get(`${service.url}/readyz`)).toMatchObject({
        status: 200,
        body: {
          status: "ok",
          problems: [],
          warnings: [expect.stringMatching(/^rule review_received: .+ dropped and created again/)],
        },
      });
    });
  });

  test("a service without its database is live but not ready, and recovers by itself", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    const name = new URL(own.url).pathname.slice(1);
    const service = await startService({ databaseUrl: own.url, env: { SWEEP_MS: "50" } });
    const stream = await openStream(service, "2");
    await stream.waitFor(isReady);

    await administer(`drop database ${name} with (force)`);
    await eventually(async () => {
      expect(await get(`${service.url}/readyz`)).toMatchObject({
        status: 503,
        body: {
          status: "unavailable",
          problems: [
            "the LISTEN connection cannot be made or was lost",
            "the database refuses the read (SQLSTATE 3D000); see the log",
          ],
        },
      });
    });
    expect((await get(`${service.url}/livez`)).status).toBe(200);

    // A new stream gets 200 and a time to retry, because any other status would end its EventSource for good.
    const refused = await openStream(service, "2");
    await refused.ended;
    expect(refused.status).toBe(200);
    expect(refused.text()).toMatch(REFUSAL);

    // The metrics show the outage.
    const metrics = await readMetrics(service);
    expect(metrics.get("bellwire_listener_up")).toBe(0);
    expect(metrics.get("bellwire_streams")).toBe(1);

    await administer(`create database ${name} template ${inject("servers")[0]?.template}`);
    await eventually(async () => expect((await get(`${service.url}/readyz`)).status).toBe(200));
    expect((await readMetrics(service)).get("bellwire_listener_up")).toBe(1);
    // This is another database. A row that was inserted before the `reset` is in the list that the client then fetches.
    await stream.waitFor(({ event }) => event === "reset");
    const client = new pg.Client({ connectionString: own.url });
    client.on("error", () => {}); // cut when its database is dropped
    await client.connect();
    await client.query(MESSAGE, [2, "back again"]);
    await client.end();
    const [told] = await stream.take(1);
    expect(told?.data.body).toBe("back again");
  });
});

describe("metrics", () => {
  test("are served on their own port only", async () => {
    const service = await start();
    const response = await fetch(service.metricsUrl);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    expect((await fetch(`${service.metricsUrl}/x`)).status).toBe(404);
    expect((await fetch(service.metricsUrl.replace("/metrics", "/livez"))).status).toBe(404);
    expect((await get(`${service.url}/metrics`)).body.code).toBe("route_unknown");
    const names = new Set(
      [...(await readMetrics(service)).keys()].map((key) => /^\w+/.exec(key)?.[0]),
    );
    for (const name of [
      "bellwire_streams",
      "bellwire_delivery_seconds_bucket",
      "bellwire_wakeups_total",
      "bellwire_reads_total",
      "bellwire_feed_reads_total",
      "bellwire_rows_read_total",
      "bellwire_listener_up",
      "bellwire_read_age_seconds",
      "bellwire_feed_up",
      "bellwire_probe_seconds",
      "bellwire_notify_queue_usage",
      "bellwire_wakeups_suspended",
      "bellwire_buffered_bytes",
      "bellwire_rule_errors",
      "process_resident_memory_bytes",
      "nodejs_eventloop_lag_seconds",
    ])
      expect(names).toContain(name);
  });

  test("count open streams, and closed ones by their reason", async () => {
    const service = await start();
    const read = createGauge(service);
    const open = await Promise.all(["2", "2", "3"].map((id) => openStream(service, id)));
    for (const stream of open) await stream.waitFor(isReady);
    expect(await read("bellwire_streams")).toBe(3);

    open[0]?.close();
    await eventually(async () =>
      expect((await readMetrics(service)).get("bellwire_streams")).toBe(2),
    );
    expect(await read('bellwire_stream_closes_total{reason="client"}')).toBe(1);

    await database.query("select bellwire.revoke('3')");
    await open[2]?.ended;
    expect(await read('bellwire_stream_closes_total{reason="revoked"}')).toBe(1);

    const brief = await openStream(service, "2", { token: await service.token("2", 5) });
    await brief.ended;
    expect(brief.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "expired" } });
    expect(await read('bellwire_stream_closes_total{reason="expired"}')).toBe(1);

    const lost = await openStream(service, "2", { lastEventId: "no cursor of ours" });
    await lost.waitFor(({ event }) => event === "reset");
    expect(await read('bellwire_stream_resets_total{reason="cursor_unknown"}')).toBe(1);
  });

  test("count the rules that do not fire where they should", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    await own.query("create table jobs (id int)");
    await own.query(
      `select bellwire.define_rule('lost', 'jobs', 'insert', $$ select id as recipient_id, 'job' as type from new_rows $$)`,
    );
    const countSilent = async (count: number) => {
      const service = await startService({ databaseUrl: own.url });
      await eventually(async () =>
        expect((await readMetrics(service)).get("bellwire_silent_rules")).toBe(count),
      );
    };
    await countSilent(0);
    await own.query("drop table jobs");
    await own.query("create table jobs (id int)");
    await countSilent(1);
  });

  test("count the feed's reads by how they were read", async () => {
    const service = await start();
    const readBy = async (by: string) =>
      (await readMetrics(service)).get(`bellwire_feed_reads_total{by="${by}"}`) ?? 0;
    // The first read comes before the session is opened.
    expect(await readBy("no_session")).toBeGreaterThan(0);
    await eventually(async () => {
      await database.query(MESSAGE, [2, "a new row"]);
      expect(await readBy("session")).toBeGreaterThan(0);
    });
    const before = await readBy("function");
    await database.query("update bellwire.notifications set read_at = now()");
    await eventually(async () => expect(await readBy("function")).toBeGreaterThan(before));
    await eventually(async () => {
      const metrics = await readMetrics(service);
      const counted = [...metrics].filter(([name]) => name.startsWith("bellwire_feed_reads_total"));
      expect(counted).toHaveLength(3);
      const sum = counted.reduce((sum, [, value]) => sum + value, 0);
      expect(sum).toBe(metrics.get("bellwire_reads_total"));
    });
  });

  test("count and time a delivery once for each stream", async () => {
    const service = await start();
    const read = createGauge(service);
    const streams = await Promise.all([openStream(service, "2"), openStream(service, "2")]);
    for (const stream of streams) await stream.waitFor(isReady);
    await database.query(MESSAGE, [2, "one"]);
    await database.query(MESSAGE, [2, "two"]);
    const told = await Promise.all(streams.map((stream) => stream.take(2)));
    expect(await read('bellwire_delivered_total{event="notification"}')).toBe(4);
    expect(await read("bellwire_delivery_seconds_count")).toBe(4);
    const sum = await read("bellwire_delivery_seconds_sum");
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThan(4);

    await call(service, "2", `/${told[0]?.[0]?.data.id}`, {
      method: "PATCH",
      body: { read: true },
    });
    for (const stream of streams) await stream.waitFor(({ event }) => event === "state");
    expect(await read('bellwire_delivered_total{event="state"}')).toBe(2);
    expect(await read("bellwire_delivery_seconds_count")).toBe(0);
  });

  test("count a replay as delivered, but not in the latency", async () => {
    const service = await start();
    const read = createGauge(service);
    const { body } = await call(service, "2", "/");
    await database.query(MESSAGE, [2, "missed"]);
    const stream = await openStream(service, "2", { lastEventId: body.cursor });
    await stream.take(1);
    expect(await read('bellwire_delivered_total{event="notification"}')).toBe(1);
    expect(await read("bellwire_delivery_seconds_count")).toBe(0);
  });

  test("count one wake-up for a commit, and one read of its rows, however many they are", async () => {
    const service = await start({ SWEEP_MS: "60000" });
    const read = createGauge(service);
    const stream = await openStream(service, "2");
    await stream.waitFor(isReady);
    for (const name of ["wakeups", "rows_read"]) await read(`bellwire_${name}_total`);
    await database.query(
      "insert into messages (sender_id, recipient_id, body) select 1, 2, n::text from generate_series(1, 50) n",
    );
    await stream.take(50);
    // A tick may have read the rows before the wake-up came.
    let wakeups = 0;
    const countWakeups = async () => {
      wakeups += await read("bellwire_wakeups_total");
      return wakeups;
    };
    await expect.poll(countWakeups).toBe(1);
    expect(await read("bellwire_rows_read_total")).toBe(50);
  });

  test("show a failing rule by its name, and the application's write succeeds", async () => {
    const service = await start();
    const read = createGauge(service);
    const sample = 'bellwire_rule_errors{rule="broken"}';
    await database.query(
      `select bellwire.define_rule('broken', 'public.messages', 'insert',
         $$ select m.recipient_id, 'x' as type, (1 / (m.id - m.id))::text as title from new_rows m $$)`,
    );
    expect(await read(sample)).toBe(0);
    await database.query(MESSAGE, [2, "one"]);
    await database.query(MESSAGE, [2, "two"]);
    expect(await read(sample)).toBe(2);
    // Dropping the rule does not clear its errors; deleting the errors does.
    await database.query("select bellwire.drop_rule('broken')");
    expect((await readMetrics(service)).get(sample)).toBe(2);
    await database.query("delete from bellwire.rule_error_log where rule = 'broken'");
    expect((await readMetrics(service)).has(sample)).toBe(false);
  });
});

test("every unknown route is a problem, at the root as in the API", async () => {
  const service = await start();
  const unknown = { status: 404, code: "route_unknown", detail: "There is no such route." };
  for (const path of ["/", "/api", "/index.html", "/demo/users", "/..%2f..%2fpackage.json"]) {
    const { status, headers, body } = await get(service.url + path);
    expect({ status, body }, path).toMatchObject({ status: 404, body: unknown });
    expect(headers.get("content-type")).toMatch(/^application\/problem\+json/);
    expect(body.requestId).toBe(headers.get("x-request-id"));
  }
  expect((await call(service, "2", "/1/2")).body).toMatchObject(unknown);
  expect((await call(service, "2", "/1", { method: "PUT" })).body).toMatchObject(unknown);
  expect((await call(service, "2", "/", { method: "DELETE" })).body).toMatchObject(unknown);
  // Authentication comes first, so a stranger does not learn which routes exist.
  expect((await get(`${service.url}/api/notifications/nowhere`)).body.code).toBe("token_missing");
});

test.each(["PORT", "METRICS_PORT"])(
  "if the port of %s is taken, the error names port and variable, and nothing stays open",
  async (variable) => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    const env = { [variable]: `${port}` };
    await expect(startService({ databaseUrl: database.url, env })).rejects.toThrow(
      `Another process already uses port ${port} on 127.0.0.1. Stop it, or set ${variable}.`,
    );
    await eventually(async () => {
      const open = await database.query(
        `select application_name from pg_stat_activity
          where datname = current_database() and application_name like 'bellwire%'`,
      );
      expect(open).toEqual([]);
    });
  },
);
