import { expect, inject, onTestFinished, test } from "vitest";
import { administer, createDatabase, type TestDatabase } from "../support/database.ts";
import { call, type Service, startService } from "../support/service.ts";

const ROUTES: [method: string, path: string, body?: object][] = [
  ["GET", "/"],
  ["GET", "/poll"],
  ["GET", "/unread-count"],
  ["GET", "/preferences"],
  ["PUT", "/preferences", { mutedTypes: [] }],
  ["PATCH", "/1", { read: true }],
  ["POST", "/mark-all-read"],
  ["POST", "/mark-all-seen"],
  ["POST", "/tickets"],
];

async function createOwn(): Promise<TestDatabase> {
  const own = await createDatabase();
  onTestFinished(own.close);
  return own;
}

async function askEverything(service: Service) {
  const answers: string[] = [];
  for (const [method, path, body] of ROUTES) {
    const answer = await call(service, "1", path, { method, body });
    if (answer.status === 503) expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    answers.push(`${answer.status} ${answer.body.code ?? ""}`);
  }
  return answers;
}

const ALL_AWAY = ROUTES.map(() => "503 unavailable");

test("while the database is unavailable every route returns 503 with Retry-After; afterwards it recovers", async () => {
  const own = await createOwn();
  const name = new URL(own.url).pathname.slice(1);
  const service = await startService({ databaseUrl: own.url, env: { SWEEP_MS: "50" } });
  await administer(`drop database ${name} with (force)`);
  expect(await askEverything(service)).toEqual(ALL_AWAY);
  // It is not our error, so each is logged as a warning.
  expect(service.logged()).not.toContain('"level":50');

  await administer(`create database ${name} template ${inject("servers")[0]?.template}`);
  await expect
    .poll(() => askEverything(service), { timeout: 10_000 })
    .toEqual([
      "200 ",
      "200 ",
      "200 ",
      "200 ",
      "200 ",
      "404 notification_unknown",
      "200 ",
      "200 ",
      "200 ",
    ]);
});

test("a request whose connection to the database is cut gets 503 at worst", async () => {
  const own = await createOwn();
  const service = await startService({ databaseUrl: own.url });
  let isOver = false;
  const cutting = (async () => {
    while (!isOver)
      await own.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bellwire' and datname = current_database()",
      );
  })();
  const seen = new Set<string>();
  for (let round = 0; round < 20; round++)
    for (const answer of await askEverything(service)) seen.add(answer);
  isOver = true;
  await cutting;
  expect([...seen].filter((answer) => !/^(200 |404 notif|503 unavail)/.test(answer))).toEqual([]);
  expect(seen).toContain("503 unavailable");
});

test("a locked row or an exhausted pool gives 503, not 500", async () => {
  const own = await createOwn();
  const [row] = await own.query<{ id: string }>("select bellwire.notify('1', 'note')::text as id");
  const service = await startService({ databaseUrl: own.url, env: { DATABASE_POOL_SIZE: "2" } });
  const holder = await own.connect();
  await holder.query("begin; select from bellwire.notifications for update");
  const held = call(service, "1", `/${row?.id}`, { method: "PATCH", body: { read: true } });
  // Requests have one of the two connections. It waits for the lock (lock_timeout 8 s), and the next request waits for it (5 s).
  await expect
    .poll(async () => {
      const [waiting] = await own.query<{ count: string }>(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      );
      return waiting?.count;
    })
    .toBe("1");
  expect((await call(service, "1", "/unread-count")).body.code).toBe("unavailable");
  expect((await held).body.code).toBe("unavailable");
  await holder.query("rollback");
  expect((await call(service, "1", `/${row?.id}`, { method: "PATCH", body: {} })).status).toBe(200);
});

test("a mark gets 503, not 500, when PostgreSQL's notification queue is full", async () => {
  const own = await createOwn();
  const [row] = await own.query<{ id: string }>("select bellwire.notify('1', 'note')::text as id");
  const service = await startService({ databaseUrl: own.url });
  // PostgreSQL raises this at the commit of a transaction that notifies. test/faults/notify-queue.test.ts fills a real queue.
  await own.query(`
    create function public.refuse() returns trigger language plpgsql as $$
      begin
        raise exception 'too many notifications in the NOTIFY queue' using errcode = '54000';
      end $$;
    create constraint trigger refuse after update on bellwire.notifications
      deferrable initially deferred for each row execute function public.refuse()`);
  const marks: [path: string, method: string, body: object][] = [
    [`/${row?.id}`, "PATCH", { read: true }],
    ["/mark-all-read", "POST", {}],
    ["/mark-all-seen", "POST", {}],
  ];
  for (const [path, method, body] of marks) {
    const answer = await call(service, "1", path, { method, body });
    expect(answer).toMatchObject({ status: 503, body: { code: "unavailable" } });
    expect(answer.headers.get("retry-after")).toMatch(/^[1-9]/);
  }
});

test("a demo action whose connection to the database is cut gets 503, and the next one succeeds", async () => {
  const own = await createOwn();
  const service = await startService({ databaseUrl: own.url, demo: true });
  await own.query("truncate public.users, public.tasks restart identity cascade");
  await own.query("insert into public.users (name) values ('Anna')");
  await own.query("insert into public.tasks (customer_id, title) values (1, 'A logo')");
  const act = async () => {
    const answer = await fetch(`${service.url}/demo/acts`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ act: "cancelTask", actorId: "1", taskId: "1" }),
    });
    return answer.status;
  };
  const holder = await own.connect();
  await holder.query("begin; select from public.tasks for update");
  const cut = act();
  await expect
    .poll(() =>
      own.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      ),
    )
    .toHaveLength(1);
  expect(await cut).toBe(503);
  await holder.query("commit");
  expect(await act()).toBe(200);
});
