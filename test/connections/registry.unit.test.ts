import { Socket } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { CloseReason } from "../../src/connections/close-reason.ts";
import type { Connection } from "../../src/connections/connection.ts";
import { createLimits } from "../../src/connections/limits.ts";
import { createRegistry } from "../../src/connections/registry.ts";
import { RETRY_MS } from "../../src/connections/retry-ms.ts";
import { createRollCall } from "../../src/connections/roll-call.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

const limits = () => createLimits({ maxStreams: 3, maxStreamsPerRecipient: 1 });

function openRegistry(own = limits(), drainMs = 1000) {
  const rollCall = createRollCall(own);
  const closed: CloseReason[] = [];
  const registry = createRegistry({
    rollCall,
    heartbeatMs: 20_000,
    pingMs: 20_000,
    stalledMs: 30_000,
    maxAgeMs: Number.POSITIVE_INFINITY,
    drainMs,
    hasDirectClients: false,
    onClosed: (reason) => closed.push(reason),
  });
  return { registry, rollCall, closed };
}

/** A wire that records its calls until it ends. */
function createWire({ hasBegun = true } = {}) {
  const told: unknown[] = [];
  let isOpen = true;
  const wire: Connection = {
    hasBegun,
    socket: new Socket(),
    blockedMs: () => 0,
    tell: (notice) => void (isOpen && told.push(notice)),
    close(reason) {
      if (isOpen) told.push(reason);
      isOpen = false;
    },
  };
  return { wire, told };
}

const nothing = () => {};
const follower = { close() {} };

/** An identity whose token expires in this many seconds. */
const holder = (recipientId: string, seconds: number) => ({
  recipientId,
  issuedAt: new Date(0),
  expiresAt: new Date(Date.now() + seconds * 1000),
});

test("a connection may identify itself later, and gets heartbeats until then", () => {
  const { registry } = openRegistry();
  const { wire, told } = createWire();
  const entry = registry.add(wire, nothing);
  vi.advanceTimersByTime(30_000);
  expect(told).toEqual(["ping"]);
  registry.addMember(entry, holder("1", 65), follower);
  vi.advanceTimersByTime(6000);
  expect(told).toContain("expiring");
  expect(told).not.toContain("expired");
  vi.advanceTimersByTime(60_000);
  expect(told).toContain("expired");
});

test("a connection that has not begun by its first heartbeat ends", () => {
  const { registry } = openRegistry();
  const { wire, told } = createWire({ hasBegun: false });
  registry.add(wire, nothing);
  vi.advanceTimersByTime(26_000);
  expect(told[0]).toBe("unavailable");
});

test("the first of several members whose token expires ends the connection; a member that has left does not", () => {
  const { registry } = openRegistry();
  const { wire, told } = createWire();
  const entry = registry.add(wire, nothing);
  registry.addMember(entry, holder("1", 600), follower);
  const brief = registry.addMember(entry, holder("2", 5), follower);
  registry.removeMember(entry, brief);
  vi.advanceTimersByTime(10_000);
  expect(told).toEqual([]);
  registry.addMember(entry, holder("3", 5), follower);
  vi.advanceTimersByTime(6000);
  expect(told).toEqual(["expiring", "expired"]);
});

test("a connection gives back its own place and its members' places, each once, and is counted as closed", () => {
  const own = limits();
  const { registry, closed } = openRegistry(own);
  const take = () => own.takePlace() ?? expect.unreachable("there was no place");
  const entry = registry.add(createWire().wire, take());
  registry.add(createWire().wire, take());
  registry.add(createWire().wire, take());
  expect(own.takePlace()).toBeUndefined();
  for (const recipientId of ["1", "2"]) own.takePlaceFor(recipientId);
  const member = registry.addMember(entry, holder("1", 60), follower);
  registry.addMember(entry, holder("2", 60), follower);
  expect([own.hasPlaceFor("1"), own.hasPlaceFor("2")]).toEqual([false, false]);
  registry.removeMember(entry, member);
  expect([own.hasPlaceFor("1"), own.hasPlaceFor("2")]).toEqual([true, false]);
  own.takePlaceFor("1");
  expect(closed).toEqual([]);
  registry.remove(entry, "slow");
  expect(closed).toEqual(["slow"]);
  expect([own.hasPlaceFor("1"), own.hasPlaceFor("2")]).toEqual([false, true]);
  expect(registry.size()).toBe(2);
  expect(own.takePlace()).toBeDefined();
  expect(own.takePlace()).toBeUndefined();
});

test("a request that waits for a place gets the place of a member that leaves", async () => {
  const own = limits();
  const { registry, rollCall } = openRegistry(own);
  const { wire, told } = createWire();
  const entry = registry.add(wire, nothing);
  own.takePlaceFor("1");
  const member = registry.addMember(entry, holder("1", 60), follower);
  const waiting = rollCall.takePlace("1");
  vi.advanceTimersByTime(200);
  expect(told).toEqual(["ping"]);
  registry.removeMember(entry, member);
  expect(await waiting).toBe(true);
  expect(own.hasPlaceFor("1")).toBe(false);
});

test.each([
  { streams: 1, withinMs: 0 },
  { streams: 6, withinMs: 15 },
  { streams: 100, withinMs: 297 },
  { streams: 1200, withinMs: 2998 },
])(
  "a drain of 3 s closes $streams connections one by one within $withinMs ms",
  async ({ streams, withinMs }) => {
    const { registry } = openRegistry(limits(), 3000);
    const closedAt: number[] = [];
    for (let i = 0; i < streams; i++)
      registry.add({ ...createWire().wire, close: () => closedAt.push(Date.now()) }, nothing);
    const closing = registry.close();
    expect(registry.isDraining()).toBe(true);
    await vi.advanceTimersByTimeAsync(4000);
    await closing;
    expect(closedAt).toHaveLength(streams);
    // A fake timer of 0 ms fires after 1 ms.
    expect(Math.abs((closedAt.at(-1) ?? 0) - withinMs)).toBeLessThanOrEqual(1);
    expect(Math.abs((closedAt[streams / 2] ?? 0) - withinMs / 2)).toBeLessThanOrEqual(3);
  },
);

test("a few clients are told to come back within 0.3 s, many within 10 s", () => {
  const told = (streams: number) => Array.from({ length: 500 }, () => RETRY_MS.drained(streams));
  expect(Math.min(...told(99))).toBeGreaterThanOrEqual(100);
  expect(Math.max(...told(99))).toBeLessThanOrEqual(300);
  expect(Math.max(...told(100))).toBeGreaterThan(8000);
});

test("behind a proxy the kernel's table of connections is not read", () => {
  const { registry } = openRegistry();
  registry.add(createWire().wire, nothing);
  // Only the registry's own tick is due.
  expect(vi.getTimerCount()).toBe(1);
});
