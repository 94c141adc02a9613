import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { createRawReader } from "./support/raw-stream.ts";
import type { Delivery } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { type Database, openTrial, type TrialOptions } from "./support/trial.ts";

const OTHERS = ["2", "3", "4"];
const SWEEP_MS = 2000;
const WITHIN_MS = 2000;
const LEEWAY_MS = 1000;
/** Of the revoked recipient, on each instance. */
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
  "%s ends the recipient's streams and polls on both instances, no others, and refuses older tokens and tickets, also after a restart",
  async (way, sql, withinMs) => {
    const { databaseUrl, services, query, judge } = await openTwo();
    if (way.includes("suspended")) await query("select bellwire.suspend_wakeups()");
    const [one, other] = services;
    if (!other) throw new Error("two instances were asked for");
    const token = await one.token("1");
    const tickets = await issueTickets(query, one, token, 4);
    const spared = await issueTickets(query, other, await one.token("2"), 2);
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

    const client = await openClient(databaseUrl);
    await client.query(sql, ["1"]);
    const revokedAt = performance.now();
    const endedMs = await Promise.all(
      streams.map(({ ended }) => ended.then(() => performance.now() - revokedAt)),
    );
    const answers = await Promise.all(polls);
    const answeredMs = answers.map(({ at }) => at - revokedAt);
    await expectRefused(services, token, tickets.slice(0, 2));

    const log = { readers: readers.map(({ reader }) => reader), deliveries, resets: [] };
    const verdict = await judge({ readers: log, timeoutMs: 20_000 });
    report({ fault: way, verdict });
    console.log(
      `  ${streams.length} streams of the revoked recipient ended ${range(endedMs)} after the commit, ` +
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
    await expectWorking(query, services, fresh);

    await Promise.all(services.map((service) => service.kill("SIGKILL")));
    await Promise.all(services.map((service) => service.start()));
    await Promise.all(services.map((service) => service.waitUntilReady()));
    await expectRefused(services, token, tickets.slice(2));
    await expectWorking(query, services, fresh);
    for (const [i, service] of services.entries())
      expect((await open(service, undefined, spared[i])).status).toBe(200);
    expect(services.flatMap(({ exits }) => exits)).toEqual([]);
  },
);

const ROUNDS = 10;
const OPENED_AT_ONCE = 24;
/** The requests and the revocation are spread over this time. */
const SPREAD_MS = 200;

/** "from": with a cursor from before the revocation. */
const KINDS = ["stream", "stream from", "poll", "poll from"] as const;

test.each(seeds())(
  "streams and polls that open during a revocation end with it, seed %i",
  async (seed) => {
    const random = createRandom(seed);
    const delays = random.fork();
    const { services, query } = await openTwo({ delayMs: () => delays.int(60) });
    const outlived: string[] = [];
    const counts = new Map<string, number>();
    let longestMs = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const recipientId = `${round}`;
      const token = await services[0].token(recipientId);
      const { cursor } = (await ask(services[0], token, "/api/notifications")).body;
      const revoking = delay(random.int(SPREAD_MS)).then(async () => {
        await query(REVOKE, [recipientId]);
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

const openTwo = (options: Pick<TrialOptions, "delayMs"> = {}) =>
  openTrial({
    ...options,
    instances: 2,
    env: {
      MAX_STREAMS_PER_RECIPIENT: "100",
      SWEEP_MS: `${SWEEP_MS}`,
      JWT_LEEWAY_SECONDS: `${LEEWAY_MS / 1000}`,
    },
  });

/** A stream that is still open after this time will not end. */
const STREAM_LIMIT_MS = 10_000;

async function endOfStream(service: ServiceProcess, token: string, lastEventId?: string) {
  const stream = await openStream(service, "", {
    token,
    ...(lastEventId === undefined ? {} : { lastEventId }),
  });
  const limit = setTimeout(stream.close, STREAM_LIMIT_MS);
  await stream.ended;
  clearTimeout(limit);
  return { status: stream.status, at: performance.now() };
}

/** With a token, or only with a ticket. */
const open = (service: ServiceProcess, token: string | undefined, ticket?: string) =>
  openStream(service, "1", {
    token: token ?? "",
    ...(ticket === undefined ? {} : { query: `?ticket=${ticket}` }),
  });

/** `at` is the time of the answer. The status is 0 without one. */
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
  // biome-ignore lint/suspicious/noExplicitAny: the test reads any field
  const body: any = await response.json();
  return { status: response.status, body };
}

/** Tickets that are valid for longer than the test, so that they are not refused for their age. */
async function issueTickets(
  query: Database["query"],
  service: ServiceProcess,
  token: string,
  count: number,
): Promise<string[]> {
  const tickets: string[] = [];
  for (let i = 0; i < count; i++)
    tickets.push((await ask(service, token, "/api/notifications/tickets", "POST")).body.ticket);
  await query("update bellwire.tickets set expires_at = now() + interval '10 minutes'");
  return tickets;
}

/** One reader of each other recipient on each instance. */
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

/** There is one ticket for each instance. */
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
  query: Database["query"],
  services: readonly ServiceProcess[],
  token: string,
): Promise<void> {
  for (const service of services) {
    expect((await ask(service, token, "/api/notifications/unread-count")).status).toBe(200);
    expect((await ask(service, token, "/api/notifications/poll")).status).toBe(200);
  }
  const streams = await Promise.all(services.map((service) => open(service, token)));
  await Promise.all(streams.map((stream) => stream.waitFor(({ event }) => event === "ready")));
  await query("select bellwire.notify('1', 'test', body => 'again')");
  for (const stream of streams) {
    expect((await stream.take(1)).map(({ data }) => data.body)).toEqual(["again"]);
    stream.close();
  }
}

/** A negative time is shown as 0: some clients hear of the commit before the test does. */
const range = (values: readonly number[]) =>
  [Math.min(...values), Math.max(...values)].map((ms) => Math.max(0, ms).toFixed(0)).join(" to ") +
  " ms";
