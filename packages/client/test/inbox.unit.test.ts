import { expect, test } from "vitest";
import { after, EMPTY } from "../src/inbox.ts";
import type { Notification } from "../src/wire.ts";

const notification = (id: string): Notification => ({
  ...{ id, type: "note", actorId: null, title: id, body: null, link: null, data: {} },
  ...{ createdAt: "2026-11-30T12:00:00Z", seenAt: null, readAt: null, archivedAt: null },
});

test("a mark-all applies up to and including its id, and ids are numbers of any length", () => {
  const ids = ["1000", "999", "998"];
  const notifications = ids.map(notification);
  const inbox = after(EMPTY, { notifications, unread: 3, unseen: 3 });
  const all = { before: "999", seenAt: "then", readAt: "then" };
  const marked = after(inbox, { all, unread: 1, unseen: 1 });
  expect(marked.notifications.map(({ id, readAt }) => [id, readAt])).toEqual([
    ["1000", null],
    ["999", "then"],
    ["998", "then"],
  ]);
});
