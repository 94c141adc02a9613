import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { seeds } from "../support/random.ts";
import { call, type Service, startService } from "../support/service.ts";
import { judge } from "./fuzz/judge.ts";
import { type Operation, operations } from "./fuzz/operations.ts";
import { toBytes } from "./fuzz/request.ts";
import { requestsOf } from "./fuzz/requests.ts";
import { CANARY } from "./fuzz/samples.ts";
import type { Known } from "./fuzz/valid.ts";
import { exchange } from "./fuzz/wire.ts";

/**
 * Number of requests for each operation and seed; they are made from the OpenAPI document. FUZZ_RUNS sets another number, and
 * FAULT_SEED repeats a seed. fast-check's own seed is that plus the operation's index.
 */
const RUNS = Number(process.env.FUZZ_RUNS ?? 300);
const TIME_LIMIT_MS = 90_000 + RUNS * 200;

/** The recipient that sends all requests, and one that must not be affected. */
const FUZZER = `${CANARY} recipient`;
const BYSTANDER = "bystander";

test.each(seeds())(
  "to any request the response is one of the OpenAPI document, and the service keeps running, seed %i",
  async (seed) => {
    const database = await createDatabase();
    onTestFinished(database.close);
    const service = await startService({
      databaseUrl: database.url,
      env: { JWT_COOKIE: "session", MAX_STREAMS_PER_RECIPIENT: "1000", LOG_LEVEL: "trace" },
    });
    await fill(database);
    const known = await learn(service);
    const before = await everythingOf(database, BYSTANDER);

    const stopWriting = keepWriting(database);
    const results = await Promise.allSettled(
      operations.map((operation, i) => fuzz(service, operation, known, seed + i)),
    );
    await stopWriting();
    const outcomes = results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
    print(seed, outcomes);

    expectReached(outcomes);
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
    expect((await call(service, FUZZER, "/")).status).toBe(200);
    expect(await everythingOf(database, BYSTANDER)).toEqual(before);
    await expect.poll(() => openStreams(service)).toBe(0);
    expect(linesWith(service, /"level":[56]0/)).toEqual([]);
    expect(linesWith(service, new RegExp(CANARY, "i"))).toEqual([]);
  },
  TIME_LIMIT_MS,
);

/** How often each outcome occurred among an operation's requests. */
type Outcomes = Map<string, number>;

async function fuzz(
  service: Service,
  operation: Operation,
  known: Known,
  seed: number,
): Promise<Outcomes> {
  const outcomes: Outcomes = new Map();
  const port = Number(new URL(service.url).port);
  const property = fc.asyncProperty(requestsOf(operation, known), async (request) => {
    const { method, isUnfinished } = request;
    const isHead = method === "HEAD";
    const answer = await exchange({ port, request: toBytes(request), isHead, isUnfinished });
    const outcome = judge(request, answer);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  });
  await fc.assert(property, {
    seed,
    numRuns: RUNS,
    interruptAfterTimeLimit: TIME_LIMIT_MS * 0.8,
    markInterruptAsFailure: true,
  });
  return outcomes;
}

async function fill(database: TestDatabase): Promise<void> {
  for (const recipientId of [FUZZER, BYSTANDER])
    await database.query(
      "select bellwire.notify($1, 'note', title => n::text) from generate_series(1, 120) n",
      [recipientId],
    );
  await database.query("select bellwire.mute_types($1, '{muted}')", [BYSTANDER]);
}

async function learn(service: Service): Promise<Known> {
  const own = (await call(service, FUZZER, "/?limit=3")).body;
  const anothers = (await call(service, BYSTANDER, "/?limit=3")).body;
  const ids = [...own.notifications, ...anothers.notifications].map(({ id }) => id);
  const issue = async () =>
    (await call(service, FUZZER, "/tickets", { method: "POST" })).body.ticket;
  const tickets = [await issue(), await issue(), await issue()];
  const token = await service.token(FUZZER, 24 * 3600);
  const cookie = `Cookie: session=${token}`;
  return {
    credentials: [`Authorization: Bearer ${token}`],
    otherCredentials: [
      `Authorization: bEaReR   ${token}`,
      `Authorization: Bearer ${await service.token(FUZZER, -60)}`,
      `Authorization: Bearer ${token.slice(0, -2)}`,
      cookie,
      `${cookie}\r\nOrigin: http://localhost`,
      `${cookie}\r\nOrigin: https://stranger.example`,
      `${cookie}\r\nSec-Fetch-Site: same-origin`,
    ],
    words: [...ids, own.cursor, anothers.cursor, ...strangeCursors(own.cursor), ...tickets, "note"],
    recipient: encodeURIComponent(FUZZER),
  };
}

/** Well-formed cursors of this history, for positions that never existed or cannot exist. */
function strangeCursors(cursor: string): string[] {
  const [version, epoch, xmax] = cursor.split(".");
  return [
    ...[`${xmax}..1..n5`, `${xmax}..0..czzzzzzzzzzzz`, `${xmax}..zzzz..n5`],
    ...[`${xmax}.1-1-1`, `${xmax}.0`, `${xmax}.zzzz`, "1.", "0.", "zzzzzzzzzzzz."],
  ].map((position) => `${version}.${epoch}.${position}`);
}

/** Keeps writing, so that no poll waits long. Returns the function that stops it. */
function keepWriting(database: TestDatabase): () => Promise<void> {
  let isOver = false;
  const write = async () => {
    while (!isOver) {
      await database.query("select bellwire.notify($1, 'beat')", [FUZZER]);
      await delay(200);
    }
  };
  const written = write();
  return () => {
    isOver = true;
    return written;
  };
}

const everythingOf = async (database: TestDatabase, recipientId: string) => [
  await database.query("select * from bellwire.notifications where recipient_id = $1 order by id", [
    recipientId,
  ]),
  await database.query("select * from bellwire.preferences where recipient_id = $1", [recipientId]),
];

async function openStreams({ metricsUrl }: Service): Promise<number> {
  const metrics = await (await fetch(metricsUrl)).text();
  return Number(/^bellwire_streams (\d+)$/m.exec(metrics)?.[1]);
}

const linesWith = (service: Service, pattern: RegExp) =>
  service
    .logged()
    .split("\n")
    .filter((line) => pattern.test(line));

function print(seed: number, outcomes: Outcomes[]): void {
  const sums: Outcomes = new Map();
  for (const [outcome, count] of outcomes.flatMap((counts) => [...counts]))
    sums.set(outcome, (sums.get(outcome) ?? 0) + count);
  const told = [...sums].sort().map(([outcome, count]) => `${count} × ${outcome}`);
  console.log(`fuzz  seed ${seed}  requests ${operations.length * RUNS}: ${told.join(", ")}`);
}

/** Requests that are all refused at once would show nothing. */
function expectReached(outcomes: Outcomes[]): void {
  const all = new Set(outcomes.flatMap((counts) => [...counts.keys()]));
  for (const [i, counts] of outcomes.entries())
    expect(counts.get("200"), operations[i]?.path).toBeGreaterThan(RUNS / 20);
  for (const problem of [
    ...["400 request_malformed", "400 request_invalid", "401 token_missing", "401 token_invalid"],
    ...["403 origin_refused", "404 notification_unknown", "404 route_unknown"],
    ...["413 body_too_large", "415 body_not_json", "415 body_encoding", "431 headers_too_large"],
  ])
    expect(all).toContain(problem);
}
