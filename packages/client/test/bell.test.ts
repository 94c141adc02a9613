import { beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { openService, type Service, startService } from "../../../test/support/service.ts";
import { type Bell, type BellOptions, createBell, type Notification } from "../src/bell.ts";

let database: TestDatabase;
let shared: Service;
beforeAll(async () => {
  database = await createDatabase();
  shared = await openService({ databaseUrl: database.url });
  return async () => {
    await shared.close();
    await database.close();
  };
});

let me: string;
let recipients = 0;
beforeEach(() => {
  me = `recipient ${++recipients}`;
});

async function notify(title: string): Promise<string> {
  const [row] = await database.query<{ id: string }>(
    "select bellwire.notify($1, 'note', title => $2)::text as id",
    [me, title],
  );
  return row?.id ?? "";
}

/** A bell that is closed when the test ends, and the titles of what it has told. */
function open(service: Service, options: Partial<BellOptions> = {}) {
  const bell = createBell({
    url: `${service.url}/api/notifications`,
    getToken: async () => service.token(me),
    ...options,
  });
  onTestFinished(bell.close);
  const rang: (string | null)[] = [];
  bell.on("notification", ({ title }) => rang.push(title));
  return { bell, rang };
}

const titlesOf = ({ notifications }: { notifications: readonly Notification[] }) =>
  notifications.map(({ title }) => title);

const statusBecomes = (bell: Bell, status: string) =>
  expect.poll(() => bell.getSnapshot().status).toBe(status);

describe("a bell", () => {
  test("shows the list, then what comes, newest first, and rings only for what comes", async () => {
    await notify("before");
    const { bell, rang } = open(shared);
    await statusBecomes(bell, "live");
    expect(bell.getSnapshot()).toMatchObject({ unread: 1, unseen: 1, hasMore: false });
    await notify("after");
    await expect.poll(() => titlesOf(bell.getSnapshot())).toEqual(["after", "before"]);
    expect(rang).toEqual(["after"]);
    expect(bell.getSnapshot()).toMatchObject({ unread: 2, unseen: 2 });
  });

  test("is a store: the same snapshot until something changes, and listeners hear each change", async () => {
    const { bell } = open(shared);
    await statusBecomes(bell, "live");
    const before = bell.getSnapshot();
    expect(bell.getSnapshot()).toBe(before);
    const changed = vi.fn();
    const stop = bell.subscribe(changed);
    await notify("one");
    await expect.poll(() => changed.mock.calls.length).toBeGreaterThan(0);
    expect(bell.getSnapshot()).not.toBe(before);
    stop();
    const calls = changed.mock.calls.length;
    await notify("two");
    await expect.poll(() => bell.getSnapshot().unread).toBe(2);
    expect(changed.mock.calls.length).toBe(calls);
  });

  test("marks at once, and the database has it", async () => {
    const [first, second] = [await notify("first"), await notify("second")];
    const { bell } = open(shared);
    await statusBecomes(bell, "live");
    const marking = bell.markAsRead(first);
    expect(bell.getSnapshot()).toMatchObject({ unread: 1, unseen: 1 });
    await marking;
    await bell.archive(second);
    expect(titlesOf(bell.getSnapshot())).toEqual(["first"]);
    await bell.markAsUnread(first);
    await bell.markAllAsSeen();
    // An event of an earlier mark may come after a later one was shown.
    await expect.poll(() => bell.getSnapshot()).toMatchObject({ unread: 1, unseen: 0 });
    await bell.markAllAsRead();
    const rows = await database.query(
      "select title, read_at is not null as read, archived_at is not null as archived from bellwire.notifications where recipient_id = $1 order by id",
      [me],
    );
    expect(rows).toEqual([
      { title: "first", read: true, archived: false },
      { title: "second", read: false, archived: true },
    ]);
  });

  test("takes a change back that the service refuses, and says why", async () => {
    const [gone] = [await notify("gone"), await notify("there")];
    const { bell } = open(shared);
    await statusBecomes(bell, "live");
    // Without triggers no page is told.
    await database.query(
      `set session_replication_role = replica; delete from bellwire.notifications where id = ${gone}; reset session_replication_role`,
    );
    const marking = bell.markAsRead(gone);
    expect(bell.getSnapshot()).toMatchObject({ unread: 1 });
    await expect(marking).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("notification_unknown"),
    });
    await expect.poll(() => titlesOf(bell.getSnapshot())).toEqual(["there"]);
    expect(bell.getSnapshot()).toMatchObject({ unread: 1 });
  });

  test("takes a change back that does not reach the service", async () => {
    const own = await startService({ databaseUrl: database.url });
    const first = await notify("first");
    const { bell } = open(own);
    await statusBecomes(bell, "live");
    const before = bell.getSnapshot();
    await own.close();
    await statusBecomes(bell, "connecting");
    const marking = bell.archive(first);
    expect(bell.getSnapshot()).toMatchObject({ unread: 0, notifications: [] });
    await expect(marking).rejects.toMatchObject({ kind: "away" });
    expect(bell.getSnapshot()).toEqual({ ...before, status: "connecting" });
  });

  test("starts over when its token is another recipient's", async () => {
    const [before, other] = [me, `${me}, the other`];
    await notify("to the first");
    const { bell, rang } = open(shared, { getToken: () => shared.token(me) });
    const statuses: string[] = [];
    bell.on("status", (status) => statuses.push(status));
    await statusBecomes(bell, "live");
    me = other;
    await notify("to the other");
    await database.query("select bellwire.revoke($1)", [before]);
    await expect.poll(() => titlesOf(bell.getSnapshot())).toEqual(["to the other"]);
    await statusBecomes(bell, "live");
    await notify("again to the other");
    await expect.poll(() => rang).toEqual(["again to the other"]);
    expect(bell.getSnapshot()).toMatchObject({ unread: 2, unseen: 2 });
    expect(statuses).toEqual(["live", "connecting", "live"]);
  });

  test("loads more, and mutes a type", async () => {
    for (let i = 1; i <= 25; i++) await notify(`number ${i}`);
    const { bell } = open(shared);
    await expect.poll(() => bell.getSnapshot().notifications.length).toBe(20);
    expect(bell.getSnapshot().hasMore).toBe(true);
    await bell.loadMore();
    expect(bell.getSnapshot()).toMatchObject({ hasMore: false });
    expect(titlesOf(bell.getSnapshot()).at(-1)).toBe("number 1");
    expect(bell.getSnapshot().preferences).toBeUndefined();
    await bell.setMuted("note", true);
    expect(bell.getSnapshot().preferences).toEqual({ mutedTypes: ["note"] });
    const { bell: another } = open(shared);
    await another.loadPreferences();
    expect(another.getSnapshot().preferences).toEqual({ mutedTypes: ["note"] });
    await bell.setMuted("note", false);
    expect(bell.getSnapshot().preferences).toEqual({ mutedTypes: [] });
  });

  test("goes on after a restart, each notification once, and says what it does", async () => {
    const lines: string[] = [];
    const info = vi.spyOn(console, "info").mockImplementation((line) => void lines.push(line));
    onTestFinished(() => info.mockRestore());
    const env = { HEARTBEAT_SECONDS: "1", PING_SECONDS: "2" };
    const first = await startService({ databaseUrl: database.url, env });
    const { bell, rang } = open(first, { debug: true });
    await statusBecomes(bell, "live");
    await notify("one");
    await expect.poll(() => rang).toEqual(["one"]);
    await expect
      .poll(() => lines.slice(0, 3))
      .toEqual(["bell: live", "bell: connected", "bell: heartbeat"]);
    await first.close();
    await statusBecomes(bell, "connecting");
    await notify("two");
    await startService({ databaseUrl: database.url, port: Number(new URL(first.url).port) });
    await expect.poll(() => rang).toEqual(["one", "two"]);
    await statusBecomes(bell, "live");
    await notify("three");
    await expect.poll(() => rang).toEqual(["one", "two", "three"]);
    const said = lines.map((line) => line.replace(/[\d.]+(?= s$)/, "n"));
    expect(said).toContain("bell: Error: the stream ended");
    expect(said).toContain("bell: reconnecting in n s");
  });

  test("polls if it is told to", async () => {
    const { bell, rang } = open(shared, { transport: "poll" });
    await statusBecomes(bell, "polling");
    await notify("by a poll");
    await expect.poll(() => rang).toEqual(["by a poll"]);
    await database.query("delete from bellwire.notifications where recipient_id = $1", [me]);
    await expect.poll(() => titlesOf(bell.getSnapshot())).toEqual([]);
  });

  test("asks for a token once more, and then is signed out", async () => {
    const getToken = vi.fn(async () => "not a token");
    const { bell } = open(shared, { getToken });
    await statusBecomes(bell, "signed_out");
    expect(getToken).toHaveBeenCalledTimes(2);
  });

  test("renews tokens that are about to expire, and loses nothing", async () => {
    const getToken = vi.fn(async () => shared.token(me, 8));
    const { bell, rang } = open(shared, { getToken });
    await statusBecomes(bell, "live");
    const sent: string[] = [];
    while (getToken.mock.calls.length < 2) {
      sent.push(`number ${sent.length}`);
      await notify(sent.at(-1) ?? "");
      await expect.poll(() => rang).toEqual(sent);
    }
    expect(bell.getSnapshot().status).toBe("live");
  });

  test("tries new tokens for a minute after a revocation, and then is signed out", async () => {
    const leeway = { JWT_LEEWAY_SECONDS: "3" };
    const own = await startService({ databaseUrl: database.url, env: leeway });
    const { bell, rang } = open(own);
    const statuses: string[] = [];
    bell.on("status", (status) => statuses.push(status));
    await statusBecomes(bell, "live");
    await database.query("select bellwire.revoke($1)", [me]);
    await statusBecomes(bell, "connecting");
    await notify("meanwhile");
    await expect.poll(() => rang).toEqual(["meanwhile"]);
    expect(statuses).toEqual(["live", "connecting", "live"]);

    // Now every token of this recipient is refused for ever.
    await database.query("select bellwire.revoke($1)", [me]);
    await database.query(
      "update bellwire.revocations set revoked_at = now() + interval '1 hour' where recipient_id = $1",
      [me],
    );
    await statusBecomes(bell, "connecting");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    await statusBecomes(bell, "signed_out");
  });

  test("refuses a transport that there is none of yet", () => {
    expect(() => open(shared, { transport: "websocket" as "sse" })).toThrow(
      'The transport is "sse" or "poll".',
    );
  });
});
