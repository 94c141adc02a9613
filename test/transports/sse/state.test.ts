import { beforeAll, describe, expect, test } from "vitest";
import { pruneAll } from "../../../src/commands/prune.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream } from "../../support/event-source.ts";
import { call, openService, type Service, startService } from "../../support/service.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

const start = (env: Record<string, string> = {}) =>
  startService({ databaseUrl: database.url, env });

/** One more recipient nobody else in this file uses. */
let last = 1000;
const newRecipient = () => String(++last);

async function notify(recipientId: string, titles: string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const title of titles) {
    const [row] = await database.query<{ id: string }>(
      "select bellwire.notify($1, 'test', title => $2)::text as id",
      [recipientId, title],
    );
    ids.push(row?.id ?? "");
  }
  return ids;
}

const notifyMany = (recipientId: string, count: number) =>
  database.query(
    `insert into bellwire.notifications (recipient_id, type)
     select $1, 'test' from generate_series(1, $2::integer)`,
    [recipientId, count],
  );

const remove = (ids: string[]) =>
  database.query("delete from bellwire.notifications where id = any ($1)", [ids]);

const move = (ids: string[], recipientId: string) =>
  database.query("update bellwire.notifications set recipient_id = $2 where id = any ($1)", [
    ids,
    recipientId,
  ]);

/**
 * Makes all rows old, also by the transaction that inserted them. Positions list the transactions in progress of all databases. Those
 * of other test files may be older than a row that was just inserted, and pruning such a row expires each position that lists one.
 */
const age = () =>
  database.query("update bellwire.notifications set created_at = '2000-01-01', created_xid = '3'");

/** A stream from where its recipient's list is, as a page opens it. */
async function openPage(service: Service, recipientId: string) {
  const { cursor } = (await call(service, recipientId, "/")).body;
  const stream = await openStream(service, recipientId, { lastEventId: cursor });
  await stream.waitFor(({ event }) => event === "ready");
  return stream;
}

type Page = Awaited<ReturnType<typeof openPage>>;

const kinds = ({ events }: Page) => events.map(({ event }) => event);
const removedIn = ({ events }: Page) =>
  events.filter(({ event }) => event === "state").flatMap(({ data }) => data.removed ?? []);
const changedIn = ({ events }: Page) =>
  events.filter(({ event }) => event === "state").flatMap(({ data }) => data.changes);
const countsIn = ({ events }: Page) => {
  const { unread, unseen } = events.at(-1)?.data ?? {};
  return { unread, unseen };
};

describe("a deleted notification", () => {
  let service: Service;
  beforeAll(async () => {
    service = await openService({ databaseUrl: database.url });
    return service.close;
  });

  test("is removed from an open page, and the count stays that of the database", async () => {
    const me = newRecipient();
    const [first = "", second = ""] = await notify(me, ["1", "2", "3"]);
    const page = await openPage(service, me);
    await remove([first, second]);
    await expect.poll(() => removedIn(page)).toEqual([first, second]);
    expect(countsIn(page)).toEqual({ unread: 1, unseen: 1 });
    await notify(me, ["4"]);
    const [event] = await page.take(1);
    expect(event?.data).toMatchObject({ title: "4", unread: 2, unseen: 2 });
  });

  test("is removed from a page that was offline, and by a poll", async () => {
    const me = newRecipient();
    const [gone = "", read = ""] = await notify(me, ["1", "2"]);
    const { cursor } = (await call(service, me, "/")).body;
    await remove([gone]);
    const [, unseen = ""] = await notify(me, ["3", "4"]);
    await remove([unseen]);
    await database.query("update bellwire.notifications set read_at = now() where id = $1", [read]);
    const page = await openStream(service, me, { lastEventId: cursor });
    await expect.poll(() => kinds(page)).toEqual(["ready", "state", "notification", "state"]);
    expect(removedIn(page)).toEqual([gone, unseen]);
    expect(countsIn(page)).toEqual({ unread: 1, unseen: 1 });
    const { body } = await call(service, me, `/poll?since=${cursor}`);
    expect(body).toMatchObject({
      notifications: [{ title: "3" }],
      changes: [{ id: read }],
      removed: [gone, unseen],
      unread: 1,
      unseen: 1,
      reset: null,
    });
    expect((await call(service, me, `/poll?since=${body.cursor}`)).body).toMatchObject({
      removed: [],
      cursor: body.cursor,
    });
  });

  test("is removed by prune() too, even if it is unread", async () => {
    const me = newRecipient();
    const ids = await notify(me, ["1", "2"]);
    const page = await openPage(service, me);
    await age();
    // Rows of other tests may have lower ids.
    await pruneAll({ url: database.url, retentionDays: 90 });
    await expect.poll(() => removedIn(page)).toEqual(ids);
    expect(countsIn(page)).toEqual({ unread: 0, unseen: 0 });
  });

  test("is not removed one by one after a TRUNCATE: open pages fetch their lists again", async () => {
    const me = newRecipient();
    await notify(me, ["1", "2"]);
    const page = await openPage(service, me);
    await database.query("truncate bellwire.notifications");
    const { data } = await page.waitFor(({ event }) => event === "reset");
    expect(data).toEqual({ reason: "epoch_changed", unread: 0, unseen: 0 });
    await notify(me, ["3"]);
    const [event] = await page.take(1);
    expect(event?.data).toMatchObject({ title: "3", unread: 1, unseen: 1 });
    expect(kinds(page)).toEqual(["ready", "reset", "notification"]);
  });
});

describe("a notification that is given to another recipient", () => {
  test("is removed from the first recipient's pages and arrives at the second's, live and on resume", async () => {
    const service = await start();
    const [me, other] = [newRecipient(), newRecipient()];
    const [id = ""] = await notify(me, ["mine"]);
    const [page, others] = [await openPage(service, me), await openPage(service, other)];
    const [away, othersAway] = [page.lastId() ?? "", others.lastId() ?? ""];
    await move([id], other);
    const [arrived] = await others.take(1);
    expect(arrived?.data).toMatchObject({ id, title: "mine", unread: 1, unseen: 1 });
    await expect.poll(() => removedIn(page)).toEqual([id]);
    expect(countsIn(page)).toEqual({ unread: 0, unseen: 0 });

    const back = await openStream(service, me, { lastEventId: away });
    await expect.poll(() => removedIn(back)).toEqual([id]);
    const othersBack = await openStream(service, other, { lastEventId: othersAway });
    expect((await othersBack.take(1))[0]?.data).toMatchObject({ id, unread: 1 });

    await move([id], me);
    expect((await page.take(1))[0]?.data).toMatchObject({ id, unread: 1 });
    await expect.poll(() => removedIn(others)).toEqual([id]);
  });
});

describe("one statement for many notifications", () => {
  const COUNT = 5000;
  const READ = "update bellwire.notifications set read_at = now() where recipient_id = $1";

  test("sends `state` to an open page, however many it marks", async () => {
    const service = await start({ REPLAY_LIMIT: "100" });
    const me = newRecipient();
    await notifyMany(me, COUNT);
    const page = await openPage(service, me);
    await database.query(READ, [me]);
    await expect.poll(() => changedIn(page).length, { timeout: 20_000 }).toBe(COUNT);
    expect(new Set(kinds(page))).toEqual(new Set(["ready", "state"]));
    expect(countsIn(page)).toEqual({ unread: 0, unseen: 0 });
  });

  test("sends `state` to a page that reconnects, and to one so slow that it is replayed to", async () => {
    const service = await start({ REPLAY_LIMIT: "100", MAX_BUFFERED_BYTES: "20000" });
    const me = newRecipient();
    await notifyMany(me, COUNT);
    const page = await openPage(service, me);
    const away = page.lastId() ?? "";
    await database.query(READ, [me]);
    const back = await openStream(service, me, { lastEventId: away });
    for (const one of [page, back]) {
      await expect.poll(() => changedIn(one).length, { timeout: 20_000 }).toBe(COUNT);
      expect(new Set(kinds(one))).toEqual(new Set(["ready", "state"]));
    }
  });

  test("sends one event if it is a mark-all and the page has all that it marked, live and on resume", async () => {
    const service = await start();
    const me = newRecipient();
    await notifyMany(me, COUNT);
    const page = await openPage(service, me);
    const away = page.lastId() ?? "";
    const { body } = await call(service, me, "/mark-all-read", { method: "POST", body: {} });
    expect(body).toEqual({ changed: COUNT });
    const back = await openStream(service, me, { lastEventId: away });
    const [newest] = (await call(service, me, "/?limit=1")).body.notifications;
    const { id: before, seenAt, readAt } = newest;
    const all = { before, seenAt, readAt };
    for (const one of [page, back]) {
      const { data } = await one.waitFor(({ event }) => event === "state");
      expect(data).toEqual({ all, changes: [], unread: 0, unseen: 0 });
      expect(kinds(one)).toEqual(["ready", "state"]);
    }
    // Nothing of it is told again.
    const again = await openStream(service, me, { lastEventId: back.lastId() ?? "" });
    await notify(me, ["after"]);
    await again.waitFor(({ event }) => event === "notification");
    expect(kinds(again)).toEqual(["ready", "notification"]);
  });

  test("sends `removed`, however many it deletes", async () => {
    const service = await start({ REPLAY_LIMIT: "100" });
    const me = newRecipient();
    await notifyMany(me, COUNT);
    const page = await openPage(service, me);
    const away = page.lastId() ?? "";
    await database.query("delete from bellwire.notifications where recipient_id = $1", [me]);
    const back = await openStream(service, me, { lastEventId: away });
    for (const one of [page, back]) {
      await expect.poll(() => removedIn(one).length, { timeout: 20_000 }).toBe(COUNT);
      expect(new Set(kinds(one))).toEqual(new Set(["ready", "state"]));
    }
  });
});
