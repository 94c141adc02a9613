import { Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { Outlet } from "../../src/connections/connection.ts";
import { createFollowers } from "../../src/connections/followers.ts";
import { createLimits } from "../../src/connections/limits.ts";
import { createRegistry } from "../../src/connections/registry.ts";
import { createRollCall } from "../../src/connections/roll-call.ts";
import { createBytesInFlight } from "../../src/db/bytes-in-flight.ts";
import { createHub } from "../../src/hub/hub.ts";
import { createLogger } from "../../src/logger.ts";

/** A connection whose followers wait for their first read until the test ends. */
function openConnection() {
  const limits = createLimits({ maxStreams: 1, maxStreamsPerRecipient: 1 });
  const registry = createRegistry({
    rollCall: createRollCall(limits),
    heartbeatMs: 60_000,
    pingMs: 60_000,
    stalledMs: 60_000,
    maxAgeMs: Number.POSITIVE_INFINITY,
    drainMs: 0,
    hasDirectClients: false,
    onClosed() {},
  });
  onTestFinished(registry.close);
  /** Those who follow now. */
  const following = new Set<string>();
  const hub = createHub();
  const followers = createFollowers({
    registry,
    hub: {
      ...hub,
      subscribe(recipientId, subscriber) {
        following.add(recipientId);
        hub.subscribe(recipientId, subscriber);
      },
      unsubscribe(recipientId, subscriber) {
        following.delete(recipientId);
        hub.unsubscribe(recipientId, subscriber);
      },
    },
    read: () => new Promise(() => {}),
    bytesInFlight: createBytesInFlight(1),
    replayLimit: 1,
    findStanding: () => Promise.reject(new Error("nobody asks")),
    onEvent() {},
    onReset() {},
    log: createLogger("silent"),
  });
  const outlet: Outlet = {
    ready() {},
    send: () => true,
    reset() {},
    close() {},
  };
  const entry = registry.add(
    {
      hasBegun: true,
      socket: new Socket(),
      blockedMs: () => 0,
      tell() {},
      close() {},
    },
    () => {},
  );
  const start = (recipientId: string) => {
    limits.takePlaceFor(recipientId);
    return followers.start({
      entry,
      admitted: {
        identity: { recipientId, issuedAt: new Date(0), expiresAt: new Date(8.64e15) },
        standing: { isRefused: false, isAhead: false, revokedAt: null },
        position: { epoch: "e", at: { xmax: 3n, inProgress: [] } },
      },
      since: "now",
      outlet,
      requestId: "",
    });
  };
  return { registry, limits, entry, following, start };
}

test("a follower ends with its member, and gives the place back; the connection's others go on", () => {
  const { registry, limits, entry, following, start } = openConnection();
  const one = start("1");
  start("2");
  expect([...following]).toEqual(["1", "2"]);
  registry.removeMember(entry, one);
  expect([...following]).toEqual(["2"]);
  expect(["1", "2"].map(limits.hasPlaceFor)).toEqual([true, false]);
});

test("all followers of a connection end with it", () => {
  const { registry, limits, entry, following, start } = openConnection();
  start("1");
  start("2");
  registry.remove(entry, "client");
  expect([...following]).toEqual([]);
  expect(["1", "2"].map(limits.hasPlaceFor)).toEqual([true, true]);
});
