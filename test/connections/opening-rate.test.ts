import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { createOpeningRate } from "../../src/connections/opening-rate.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream, REFUSAL } from "../support/event-source.ts";
import { type Service, startService } from "../support/service.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

test("an IP address may open as many in a second as the limit says, and as many in the next", () => {
  vi.useFakeTimers({ toFake: ["performance"], now: 0 });
  onTestFinished(() => void vi.useRealTimers());
  const rate = createOpeningRate({ maxNewStreamsPerSecond: 2, maxStreamsPerRecipient: 9 });
  const open = (ip: string) => rate.countFrom(ip);
  expect([open("192.0.2.1"), open("192.0.2.1"), open("192.0.2.1")]).toEqual([true, true, false]);
  expect(open("192.0.2.2")).toBe(true);
  vi.advanceTimersByTime(999);
  expect(open("192.0.2.1")).toBe(false);
  vi.advanceTimersByTime(1);
  expect([open("192.0.2.1"), open("192.0.2.1"), open("192.0.2.1")]).toEqual([true, true, false]);
});

test.each([
  ["one IPv6 customer", "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true],
  ["two IPv6 customers", "2001:db8:1:2::1", "2001:db8:1:3::1", false],
  ["one IPv4 address, also written as IPv6", "192.0.2.1", "::ffff:192.0.2.1", true],
  ["two IPv4 addresses written as IPv6", "::ffff:192.0.2.2", "::ffff:192.0.2.1", false],
  ["no IP address, as a proxy may write it", "unknown", "unknown", true],
])("%s: %s and %s count as one, %s", (_, one, other, areOne) => {
  const rate = createOpeningRate({ maxNewStreamsPerSecond: 1, maxStreamsPerRecipient: 9 });
  expect(rate.countFrom(one)).toBe(true);
  expect(rate.countFrom(other)).toBe(!areOne);
});

test("a recipient may open as many in a second as it may have; without a limit nothing is counted", () => {
  const rate = createOpeningRate({ maxNewStreamsPerSecond: 100, maxStreamsPerRecipient: 2 });
  expect([1, 2, 3].map(() => rate.countFor("1"))).toEqual([true, true, false]);
  expect(rate.countFor("2")).toBe(true);
  const none = createOpeningRate({
    maxNewStreamsPerSecond: Number.POSITIVE_INFINITY,
    maxStreamsPerRecipient: 2,
  });
  expect([1, 2, 3].map(() => none.countFor("1"))).toEqual([true, true, true]);
  expect(none.countFrom(undefined)).toBe(true);
});

/** Opens a stream, and returns whether it was admitted. */
async function isLetIn(service: Service, recipientId: string, forwardedFor?: string) {
  const response = await fetch(`${service.url}/api/notifications/stream`, {
    headers: {
      authorization: `Bearer ${await service.token(recipientId)}`,
      ...(forwardedFor === undefined ? {} : { "x-forwarded-for": forwardedFor }),
    },
  });
  const reader = response.body?.getReader();
  let text = "";
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { done: true };
    text += Buffer.from(value ?? []).toString();
    if (text.includes("event: ready")) {
      await reader?.cancel();
      return true;
    }
    if (!done) continue;
    expect(response.status).toBe(200);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
    const [, retry] = REFUSAL.exec(text) ?? [];
    expect(Number(retry)).toBeGreaterThanOrEqual(5000);
    expect(Number(retry)).toBeLessThanOrEqual(10_000);
    return false;
  }
}

const open = (service: Service, addresses: (string | undefined)[]) =>
  Promise.all(addresses.map((address, i) => isLetIn(service, `recipient ${i}`, address)));
const count = (answers: boolean[]) => answers.filter((isIn) => isIn).length;

test("clients that come too fast are asked to come later, and open streams stay", async () => {
  const service = await startService({
    databaseUrl: database.url,
    env: { MAX_NEW_STREAMS_PER_SECOND: "3" },
  });
  const first = await openStream(service, "1");
  await first.waitFor(({ event }) => event === "ready");
  const letIn = count(await open(service, Array(30).fill(undefined)));
  // Opening the thirty may take more than a second.
  expect(letIn).toBeGreaterThan(0);
  expect(letIn).toBeLessThan(30);
  await database.query("select bellwire.notify('1', 'note', title => 'still here')");
  expect((await first.take(1))[0]?.data.title).toBe("still here");
  const metrics = await (await fetch(service.metricsUrl)).text();
  expect(metrics).toContain(`bellwire_stream_refusals_total{reason="rate"} ${30 - letIn}`);
});

test("X-Forwarded-For is believed for as many hops as TRUST_PROXY says", async () => {
  const addresses = Array.from({ length: 20 }, (_, i) => `192.0.2.${i}`);
  const start = (hops: string) =>
    startService({
      databaseUrl: database.url,
      env: { MAX_NEW_STREAMS_PER_SECOND: "2", TRUST_PROXY: hops },
    });
  const behindProxy = await start("1");
  expect(count(await open(behindProxy, addresses))).toBe(20);
  // A client that adds an address before the proxy's still counts by its own.
  const spoofed = addresses.map((address) => `${address}, 198.51.100.7`);
  expect(count(await open(behindProxy, spoofed))).toBeLessThan(20);
  const direct = await start("0");
  expect(count(await open(direct, addresses))).toBeLessThan(20);
  // The log warns once that TRUST_PROXY may be missing.
  expect(direct.logged().match(/X-Forwarded-For, but TRUST_PROXY is 0/g)).toHaveLength(1);
  expect(behindProxy.logged()).not.toContain("TRUST_PROXY");
});
