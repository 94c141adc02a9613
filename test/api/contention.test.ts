import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { pruneAll } from "../../src/commands/prune.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { call, openService, type Service, startService } from "../support/service.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

// TRUNCATE of the notifications would begin another history, and a shared service would notice that during the test.
beforeEach(() =>
  database.query(
    `delete from bellwire.notifications;
     truncate bellwire.preferences, bellwire.revocations, bellwire.tickets,
              public.users, public.tasks, public.responses restart identity cascade`,
  ),
);

/** Applies to sessions that are opened from now on. */
async function setDefaultIsolation(isolation: string) {
  const name = new URL(database.url).pathname.slice(1);
  await database.query(`alter database ${name} set default_transaction_isolation = '${isolation}'`);
}

/** Makes this many notifications for recipient 1. */
const notify = (count: number) =>
  database.query(
    "select bellwire.notify('1', 'test', title => n::text) from generate_series(1, $1::integer) n",
    [count],
  );

async function count(where: string): Promise<number> {
  const rows = await database.query(`select from bellwire.notifications where ${where}`);
  return rows.length;
}

/**
 * Another session runs `begin` and holds its locks. `ask` must then wait for it, which `waiting` queries that contain `about` show.
 * Then the other session runs `end`.
 */
async function meet<T>(
  begin: string,
  ask: () => Promise<T>,
  { end = "commit", about = "", waiting = 1 } = {},
): Promise<T> {
  const other = await database.connect();
  await other.query("set deadlock_timeout = '20s'"); // so that the deadlock check ends the service's transaction
  await other.query(`begin isolation level read committed; ${begin}`);
  const answer = ask();
  const listWaiting = () =>
    database.query(
      `select from pg_stat_activity
        where datname = current_database()
          and application_name like 'bellwire%'
          and wait_event_type = 'Lock'
          and strpos(query, $1) > 0`,
      [about],
    );
  await expect.poll(async () => (await listWaiting()).length).toBe(waiting);
  await other.query(end);
  return await answer;
}

/** A request of recipient 1. */
async function ask(service: Service, method: string, path: string, body?: object) {
  const { status, headers, body: answer } = await call(service, "1", path, { method, body });
  return { status, retryAfter: Number(headers.get("retry-after")), answer };
}

async function act(service: Service, act: object) {
  const response = await fetch(`${service.url}/demo/acts`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ actorId: "1", ...act }),
  });
  return { status: response.status, retryAfter: Number(response.headers.get("retry-after")) };
}

/** Makes two offers for one task of user 1. */
const offer = () =>
  database.query(
    `insert into public.users (name) values ('Anna'), ('Boris');
     insert into public.tasks (customer_id, title) values (1, 'A logo');
     insert into public.responses (task_id, user_id) values (1, 2), (1, 2)`,
  );

describe.each(["repeatable read", "serializable"])("where %s is the default", (isolation) => {
  let service: Service;
  beforeAll(async () => {
    await setDefaultIsolation(isolation);
    service = await openService({ databaseUrl: database.url, demo: true });
    return service.close;
  });

  test.each([
    ["PATCH", "/:id", { read: true }, { title: "changed" }],
    ["POST", "/mark-all-read", {}, { changed: 3 }],
    ["POST", "/mark-all-seen", {}, { changed: 3 }],
  ])(
    "%s %s waits for a writer of the same rows, and succeeds",
    async (method, path, body, answer) => {
      await notify(3);
      const [row] = await database.query<{ id: string }>("select id from bellwire.notifications");
      const asked = await meet("update bellwire.notifications set title = 'changed'", () =>
        ask(service, method, path.replace(":id", row?.id ?? ""), body),
      );
      expect(asked).toMatchObject({ status: 200, answer });
    },
  );

  test("two clients that set the preferences at the same time both succeed", async () => {
    const wanted = { mutedTypes: ["wanted"] };
    const asked = await meet("select bellwire.mute_types('1', '{other}')", () =>
      ask(service, "PUT", "/preferences", wanted),
    );
    expect(asked).toMatchObject({ status: 200, answer: wanted });
  });

  test("a ticket whose row another transaction has just changed opens its stream", async () => {
    const { ticket } = (await call(service, "1", "/tickets", { method: "POST" })).body;
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    const response = await meet("update bellwire.tickets set recipient_id = '2'", () =>
      fetch(`${service.url}/api/notifications/stream?ticket=${ticket}`, { signal: abort.signal }),
    );
    const first = await response.body?.getReader().read();
    expect(Buffer.from(first?.value ?? []).toString()).toContain("event: ready");
  });

  test("if two offers are accepted at the same time, one succeeds and the other is refused", async () => {
    await offer();
    const accept = async (id: string) => (await act(service, { act: "acceptResponse", id })).status;
    const statuses = await meet(
      "select from public.tasks for update",
      () => Promise.all([accept("1"), accept("2")]),
      { waiting: 2 },
    );
    expect(statuses.sort()).toEqual([200, 409]);
    const accepted = "select from public.responses where status = 'accepted'";
    expect(await database.query(accepted)).toHaveLength(1);
  });

  test("prune deletes a row that another transaction has just changed", async () => {
    await database.query(
      "insert into bellwire.notifications (recipient_id, type, created_at) values ('1', 'test', now() - interval '40 days')",
    );
    const pruned = await meet("update bellwire.notifications set title = 'changed'", () =>
      pruneAll({ url: database.url, retentionDays: 30 }),
    );
    expect(pruned).toBe(1);
  });
});

test("under serializable a read that conflicts with two writers succeeds", async () => {
  await setDefaultIsolation("serializable");
  const service = await startService({ databaseUrl: database.url });
  await database.query(
    `insert into bellwire.revocations (recipient_id, revoked_at, revoked_xid)
     values ('1', now() - interval '1 day', pg_current_xact_id())`,
  );
  const [early, late] = [await database.connect(), await database.connect()];
  // A cycle: `early` changes what `late` has read, so `late` comes before `early`. `early` commits before the read. The read does
  // not see what `late` changes, so the read comes before `late`.
  await late.query("begin isolation level serializable; select from bellwire.preferences");
  await early.query(
    "begin isolation level serializable; select bellwire.mute_types('9', '{any}'); commit",
  );
  await late.query(
    "lock bellwire.revocations in access exclusive mode; update bellwire.revocations set revoked_at = revoked_at",
  );
  const asked = ask(service, "GET", "/unread-count");
  await expect
    .poll(() =>
      database.query(
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ~ 'isAhead'",
      ),
    )
    .not.toEqual([]);
  await late.query("commit");
  expect(await asked).toMatchObject({ status: 200, answer: { count: 0 } });
});

describe("where serializable is the default, the service's reads and writes fail no transaction of the application:", () => {
  let service: Service;
  beforeAll(async () => {
    await setDefaultIsolation("serializable");
    service = await openService({ databaseUrl: database.url, env: { SWEEP_MS: "600000" } });
    return service.close;
  });

  async function doAmidstWriters(doIt: () => Promise<unknown>) {
    const [early, late] = [await database.connect(), await database.connect()];
    await late.query("begin; select from public.users; select bellwire.notify('1', 'test')");
    // `late` has not seen this, so it comes before `early`. A serializable read that sees `early` and not `late` fits nowhere.
    await early.query("insert into public.users (name) values ('Anna')");
    await doIt();
    await late.query("commit");
  }

  test("the feed", async () => {
    const reading = await startService({ databaseUrl: database.url, env: { SWEEP_MS: "50" } });
    const reads = async () =>
      Number(
        /^bellwire_reads_total (\d+)/m.exec(await (await fetch(reading.metricsUrl)).text())?.[1],
      );
    await doAmidstWriters(async () => {
      const before = await reads();
      await expect.poll(reads, { timeout: 10_000 }).toBeGreaterThan(before + 1);
    });
  });

  test("a poll", async () => {
    const { cursor } = (await call(service, "1", "/")).body;
    await doAmidstWriters(() => ask(service, "GET", `/poll?wait=0&since=${cursor}`));
  });

  test.each([
    ["a count", "GET", "/unread-count"],
    ["a list", "GET", "/"],
    ["a mark-all", "POST", "/mark-all-read", {}],
  ])("%s", async (_, method, path, body?: object) => {
    await doAmidstWriters(() => ask(service, method, path, body));
  });
});

describe("where read committed is the default", () => {
  let service: Service;
  beforeAll(async () => {
    await setDefaultIsolation("read committed");
    service = await openService({ databaseUrl: database.url, demo: true });
    return service.close;
  });

  test("a mark-all that deadlocks with a writer is retried, and both succeed", async () => {
    await notify(4000);
    const asked = await meet(
      "update bellwire.notifications set title = 'changed' where id = (select max(id) from bellwire.notifications)",
      // It has marked the others, and waits for the last one.
      () => ask(service, "POST", "/mark-all-read", {}),
      {
        end: "update bellwire.notifications set title = 'changed' where id = (select min(id) from bellwire.notifications); commit",
      },
    );
    expect(asked).toMatchObject({ status: 200, answer: { changed: 4000 } });
    expect(await count("title = 'changed'")).toBe(2);
    expect(await count("read_at is null")).toBe(0);
  });

  test("a list that deadlocks with a table lock is retried", async () => {
    await notify(3);
    const asked = await meet(
      "lock bellwire.removals in access exclusive mode",
      () => ask(service, "GET", "/"),
      {
        about: "changes_for",
        end: "lock bellwire.notifications in access exclusive mode; commit",
      },
    );
    expect(asked).toMatchObject({ status: 200, answer: { unread: 3 } });
  });

  test.each(["40001", "40P01"])(
    "a query that fails with %s five times is 503 with Retry-After",
    async (code) => {
      await offer();
      await notify(1);
      await database.query(
        `create sequence public.tries;
       create function public.be_in_the_way() returns trigger language plpgsql security definer as $$
       begin
         perform nextval('public.tries');
         raise exception 'in the way' using errcode = '${code}';
       end $$;
       create trigger in_the_way before update on bellwire.notifications execute function public.be_in_the_way();
       create trigger in_the_way before update on public.tasks execute function public.be_in_the_way()`,
      );
      onTestFinished(async () => {
        await database.query("drop function public.be_in_the_way() cascade; drop sequence tries");
      });
      const marked = await ask(service, "POST", "/mark-all-read", {});
      expect(marked).toMatchObject({ status: 503, answer: { code: "unavailable" } });
      expect(marked.retryAfter).toBeGreaterThan(0);
      const acted = await act(service, { act: "acceptResponse", id: "1" });
      expect(acted.status).toBe(503);
      expect(acted.retryAfter).toBeGreaterThan(0);
      expect(await database.query("select last_value::integer from tries")).toEqual([
        { last_value: 10 },
      ]);
      const pending = "select from public.responses where status = 'pending'";
      expect(await database.query(pending)).toHaveLength(2);
    },
  );
});
