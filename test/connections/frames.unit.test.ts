import { expect, test } from "vitest";
import type { Change, Page } from "../../src/changes/changes.ts";
import { createFrames } from "../../src/connections/frames.ts";
import { createNotificationEncoder } from "../../src/http/notification-json.ts";
import type { EventPage } from "../../src/hub/events.ts";
import { createHub } from "../../src/hub/hub.ts";
import { createLogger } from "../../src/logger.ts";

const AT = { xmax: 10n, inProgress: [] };

const change = (recipientId: string, id: bigint): Change => ({
  id,
  recipientId,
  type: "test",
  actorId: null,
  title: null,
  body: null,
  link: null,
  data: "{}",
  isCut: false,
  createdAt: "2026-11-30T12:00:00Z",
  seenAt: null,
  readAt: null,
  archivedAt: null,
  isNew: true,
  createdXid: 10n,
  changedXid: 10n,
});

const pageOf = (changes: Change[]): Page => ({
  epoch: "00000000",
  from: AT,
  upto: { xmax: 11n, inProgress: [] },
  present: { xmax: 11n, inProgress: [] },
  moment: { xmax: 11n, inProgress: [] },
  marked: [],
  removed: [],
  changes,
  isLast: true,
  remaining: changes.length,
  revoked: [],
  counts: new Map(),
  suspendedMs: 0,
  isForeign: false,
  isExpired: false,
});

test("an event is encoded once for all streams of its recipient, and each of them sends the same frame", () => {
  const encoded: bigint[] = [];
  const encoder = createNotificationEncoder({ maxEventBytes: 60_000, log: createLogger("silent") });
  const frames = createFrames({
    version: "1",
    encoder: {
      ...encoder,
      encode(notification) {
        encoded.push(notification.id);
        return encoder.encode(notification);
      },
    },
    toFrame: ({ id, data }) => ({ id, data }),
  });
  const hub = createHub();
  const sent: [stream: string, frame: unknown][] = [];
  function open(stream: string, recipientId: string) {
    hub.subscribe(recipientId, {
      deliver: ({ events }: EventPage) =>
        events.forEach((event) => void sent.push([stream, frames.event(event)])),
      readAgain() {},
      checkToken() {},
    });
    hub.setCounts(recipientId, { unread: 0, unseen: 0, at: AT });
  }
  for (const tab of ["1", "2", "3"]) open(`tab ${tab} of me`, "me");
  open("the only one of you", "you");

  hub.publish(pageOf([change("me", 1n), change("you", 2n), change("me", 3n)]), 0);
  expect(encoded.toSorted()).toEqual([1n, 2n, 3n]);
  expect(sent.map(([stream]) => stream).toSorted()).toEqual([
    ...Array(2).fill("tab 1 of me"),
    ...Array(2).fill("tab 2 of me"),
    ...Array(2).fill("tab 3 of me"),
    "the only one of you",
  ]);
  expect(new Set(sent.map(([, frame]) => frame)).size).toBe(3);
});
