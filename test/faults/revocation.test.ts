import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import type { Service } from "../support/service.ts";
import { expectExact, judge } from "./support/checker.ts";
import { startForwarder } from "./support/forwarder.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { createRawReader } from "./support/raw-stream.ts";
import type { Delivery } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const OTHERS = ["2", "3", "4"];
const SWEEP_MS = 2000;
const WITHIN_MS = 2000;
const LEEWAY_MS = 1000;
/** Of the revoked on each instance. */
const [STREAMS, POLLS] = [3, 2];

const REVOKE = "select bellwire.revoke($1)";
const WAYS: [name: string, sql: string, withinMs: number][] = [
  ["bellwire.revoke()", REVOKE, WITHIN_MS],
  ["users.blocked", "update public.users set blocked = true where id = $1::bigint", WITHIN_MS],
  [
    "revoke() among 25,000 rows",
    `with bulk as materialized (
       select bellwire.notify('somebody else', 'test') from generate_series(1, 25000)
     )
     select bellwire.revoke($1) from (select count(*) from bulk) as rows`,
    WITHIN_MS,
  ],
  ["revoke(), wake-ups suspended", REVOKE, SWEEP_MS + 1000],
];

test.each(WAYS)(
  "%s ends a recipient's streams and polls on both instances in time, nobody else's, and refuses what was issued before, also after a restart",
  async (way, sql, withinMs) => {
    const { postgres, databaseUrl, services } = await start();
    if (way.includes("suspended")) await query(postgres, "select bellwire.suspend_wakeups()");
    const [one, other] = services;
    const token = await one.token("1");
    const tickets = await issueTickets(postgres, one, token, 4);
    const spared = await issueTickets(postgres, other, await one.token("2"), 2);
    const { readers, deliveries } = await openReaders(services);
    const streams = await Promise.all(
      services.flatMap((service) => Array.from({ length: STREAMS }, () => open(service, token))),
    );
    await Promise.all(streams.map((stream) => stream.waitFor(({ event }) => event === "ready")));
    const polls = services.flatMap((service) =>
      Array.from({ length: POLLS }, () => poll(service, token)),
    );
    const sparedPoll = poll(one, await one.token("2"));
    const waiting = async () => {
      const pages = await Promise.all(services.map((service) => service.metrics()));
      return pages.reduce((sum, page) => sum + page("bellwire_waiting_polls"), 0);
    };
    await expect.poll(waiting, { timeout: 10_000 }).toBe(polls.length + 1);

    const client = new pg.Client(databaseUrl);
    await client.connect();
    onTestFinished(() => client.end());
    await client.query(sql, ["1"]);
    const revokedAt = performance.now();
    const endedMs = await Promise.all(
      streams.map(({ ended }) => ended.then(() => performance.now() - revokedAt)),
    );
    const answers = await Promise.all(polls);
    const answeredMs = answers.map(({ at }) => at - revokedAt);
    await expectRefused(services, token, tickets.slice(0, 2));

    const log = { readers: readers.map(({ reader }) => reader), deliveries, resets: [] };
    await settle({ postgresUrl: databaseUrl, readers: log, timeoutMs: 20_000 });
    const verdict = await judge({ postgresUrl: databaseUrl, readers: log });
    report({ fault: way, verdict });
    console.log(
      `  ${streams.length} streams of the revoked ended ${range(endedMs)} after the commit, ` +
        `${polls.length} waiting polls ${range(answeredMs)}; of ${readers.length} streams of others none`,
    );
    for (const { events } of streams)
      expect(events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });
    for (const answer of answers) expect(answer).toMatchObject(REFUSED);
    expect(Math.max(...endedMs, ...answeredMs)).toBeLessThan(withinMs);
    expectExact(verdict, { minReconnects: 0 });
    expect(verdict.reconnects).toBe(0);
    expect(readers.every((reader) => reader.isOpen())).toBe(true);
    expect((await sparedPoll).status).toBe(200);

    await delay(Math.max(0, LEEWAY_MS + 1000 - (performance.now() - revokedAt)));
    const fresh = await one.token("1");
    await expectWorking(postgres, services, fresh);

    await Promise.all(services.map((service) => service.kill("SIGKILL")));
    await Promise.all(services.map((service) => service.start()));
    await Promise.all(services.map((service) => service.waitUntilReady()));
    await expectRefused(services, token, tickets.slice(2));
    await expectWorking(postgres, services, fresh);
    for (const [i, service] of services.entries())
      expect((await open(service, undefined, spared[i])).status).toBe(200);
    expect(services.flatMap(({ exits }) => exits)).toEqual([]);
  },
);

const ROUNDS = 10;
const OPENED_AT_ONCE = 24;
/** Within this time they come, and the revocation does. */
const SPREAD_MS = 200;

/** With a cursor from before, or without. */
const KINDS = ["stream", "stream from", "poll", "poll from"] as const;

test.each(seeds())(
  "what is opened while its recipient is revoked does not outlive that, seed %i",
  async (seed) => {
    const random = createRandom(seed);
    const delays = random.fork();
    const { postgres, services } = await start({ delayMs: () => delays.int(60) });
    const outlived: string[] = [];
    const counts = new Map<string, number>();
    let longestMs = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const recipientId = `${round}`;
      const token = await services[0].token(recipientId);
      const { cursor } = (await ask(services[0], token, "/api/notifications")).body;
      const revoking = delay(random.int(SPREAD_MS)).then(async () => {
        await query(postgres, REVOKE, [recipientId]);
        return performance.now();
      });
      const opening = Array.from({ length: OPENED_AT_ONCE }, async (_, i) => {
        const kind = KINDS[i % KINDS.length] ?? "stream";
        const service = random.pick(services);
        await delay(random.int(SPREAD_MS));
        const since = kind.endsWith("from") ? cursor : undefined;
        const end = kind.startsWith("stream")
          ? await endOfStream(service, token, since)
          : await poll(service, token, since);
        return { kind, ...end };
      });
      const revokedAt = await revoking;
      for (const { kind, status, at } of await Promise.all(opening)) {
        const what = `${kind}: ${status}`;
        counts.set(what, (counts.get(what) ?? 0) + 1);
        longestMs = Math.max(longestMs, at - revokedAt);
        if (at - revokedAt > WITHIN_MS)
          outlived.push(`round ${round}: ${what} after ${(at - revokedAt).toFixed(0)} ms`);
      }
    }
    console.log(
      `opened while revoked              seed ${seed}  ${[...counts].map(([what, n]) => `${n} × ${what}`).join(", ")}; ` +
        `the longest ended ${longestMs.toFixed(0)} ms after the revocation`,
    );
    expect(outlived).toEqual([]);
    expect(counts.get("stream: 200")).toBeGreaterThan(0);
    expect(counts.get("stream: 401")).toBeGreaterThan(0);
    expect(counts.has("poll from: 200")).toBe(false);
    expect(counts.has("poll: 200")).toBe(false);
    expect(services.flatMap(({ exits }) => exits)).toEqual([]);
  },
);

/** `delayMs`: how much later the database's answers come, on each connection. */
async function start({ delayMs }: { delayMs?: () => number } = {}) {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const { port } = delayMs ? await startForwarder(postgres.port, { delayMs }) : postgres;
  const launch = () =>
    startServiceProcess({
      databaseUrl: databaseUrl.replace(`:${postgres.port}/`, `:${port}/`),
      directUrl: databaseUrl,
      env: {
        MAX_STREAMS_PER_RECIPIENT: "100",
        SWEEP_MS: `${SWEEP_MS}`,
        JWT_LEEWAY_SECONDS: `${LEEWAY_MS / 1000}`,
      },
    });
  const services = await Promise.all([launch(), launch()]);
  await Promise.all(services.map((service) => service.waitUntilReady()));
  return { postgres, databaseUrl, services };
}

/** A stream that still runs after this is not going to end. */
const STREAM_LIMIT_MS = 10_000;

async function endOfStream(service: ServiceProcess, token: string, lastEventId?: string) {
  const stream = await openStream(asService(service), "", {
    token,
    ...(lastEventId === undefined ? {} : { lastEventId }),
  });
  const limit = setTimeout(stream.close, STREAM_LIMIT_MS);
  await stream.ended;
  clearTimeout(limit);
  return { status: stream.status, at: performance.now() };
}

const query = (postgres: Postgres, sql: string, params: string[] = []) =>
  postgres.query(sql, params, "bellwire");

/** For what asks the API, whoever runs it. */
const asService = (service: ServiceProcess): Service => ({ ...service, logged: service.said });

/** With a token, or with a ticket and nothing else. */
const open = (service: ServiceProcess, token: string | undefined, ticket?: string) =>
  openStream(asService(service), "1", {
    token: token ?? "",
    ...(ticket === undefined ? {} : { query: `?ticket=${ticket}` }),
  });

/** `at` is when it was answered; the status is 0 where it was not. */
async function poll(service: ServiceProcess, token: string, since?: string) {
  const query = since === undefined ? "" : `&since=${encodeURIComponent(since)}`;
  const unanswered = { status: 0, body: undefined };
  const answer = await ask(service, token, `/api/notifications/poll?wait=30${query}`).catch(
    () => unanswered,
  );
  return { ...answer, at: performance.now() };
}

async function ask(service: ServiceProcess, token: string, path: string, method = "GET") {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(service.url + path, { method, headers });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  const body: any = await response.json();
  return { status: response.status, body };
}

/** Good for longer than the test takes, so that it is not their age they are refused for. */
async function issueTickets(
  postgres: Postgres,
  service: ServiceProcess,
  token: string,
  count: number,
): Promise<string[]> {
  const tickets: string[] = [];
  for (let i = 0; i < count; i++)
    tickets.push((await ask(service, token, "/api/notifications/tickets", "POST")).body.ticket);
  await query(postgres, "update bellwire.tickets set expires_at = now() + interval '10 minutes'");
  return tickets;
}

/** One of each of the others on each instance. */
async function openReaders(services: readonly ServiceProcess[]) {
  const deliveries: Delivery[] = [];
  const readers = await Promise.all(
    services.flatMap((service, i) =>
      OTHERS.map(async (recipientId) =>
        createRawReader({
          name: `reader of ${recipientId} on ${i + 1}`,
          recipientId,
          token: await service.token(recipientId),
          address: service.url,
          deliveries,
        }),
      ),
    ),
  );
  await Promise.all(readers.map((reader) => reader.open()));
  return { readers, deliveries };
}

/** A ticket for each instance. */
async function expectRefused(
  services: readonly ServiceProcess[],
  token: string,
  tickets: readonly string[],
): Promise<void> {
  for (const [i, service] of services.entries()) {
    for (const path of ["", "/unread-count", "/poll", "/poll?wait=30", "/stream", "/preferences"])
      expect(await ask(service, token, `/api/notifications${path}`), path).toMatchObject(REFUSED);
    const another = await ask(service, token, "/api/notifications/tickets", "POST");
    expect(another).toMatchObject(REFUSED);
    expect((await open(service, undefined, tickets[i])).status).toBe(401);
  }
}

const REFUSED = { status: 401, body: { code: "token_invalid" } };

async function expectWorking(
  postgres: Postgres,
  services: readonly ServiceProcess[],
  token: string,
): Promise<void> {
  for (const service of services) {
    expect((await ask(service, token, "/api/notifications/unread-count")).status).toBe(200);
    expect((await ask(service, token, "/api/notifications/poll")).status).toBe(200);
  }
  const streams = await Promise.all(services.map((service) => open(service, token)));
  await Promise.all(streams.map((stream) => stream.waitFor(({ event }) => event === "ready")));
  await query(postgres, "select bellwire.notify('1', 'test', body => 'again')");
  for (const stream of streams) {
    expect((await stream.take(1)).map(({ data }) => data.body)).toEqual(["again"]);
    stream.close();
  }
}

/** Some hear of it before the one who commits does. */
const range = (values: readonly number[]) =>
  [Math.min(...values), Math.max(...values)].map((ms) => Math.max(0, ms).toFixed(0)).join(" to ") +
  " ms";
