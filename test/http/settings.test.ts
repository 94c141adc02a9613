import { randomBytes } from "node:crypto";
import pg from "pg";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { migrate, plan } from "../../src/db/migrate.ts";
import { formatStatus, status } from "../../src/db/migrations/status.ts";
import { tryAgain } from "../../src/db/try-again.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase } from "../support/database.ts";
import { openStream } from "../support/event-source.ts";
import { NO_MATTER, ODD, ODD_FORMS } from "../support/odd-settings.ts";
import { call, type Service, startService } from "../support/service.ts";

const log = createLogger("silent");
/** A time of now, a cursor, an id or a ticket, whose values are never the same. */
const plain = (value: unknown) =>
  JSON.stringify(value)
    .replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, (time) =>
      Math.abs(Date.parse(time.slice(1, -1)) - Date.now()) < 120_000 ? "now" : time,
    )
    .replaceAll(/"v1\.[^"]+_"/g, "cursor")
    .replaceAll(/"(id|ticket)":"[^"]+"/g, '"$1"')
    .replaceAll(/"ids?":\["\d+"\]/g, "ids");

/** A database and a login of the test's own. */
const withoutNames = (text: string) =>
  text.replaceAll(/bellwire_test_\w+/g, "database").replaceAll(/\bodd_\w+|postgres/g, "login");

/** Everything that a client can ask for, and what came of it; `url` is the application's, with settings of its own. */
async function tour(url: string, service: Service): Promise<string[]> {
  const application = new pg.Client(url);
  await application.connect();
  onTestFinished(() => application.end());
  application.on("error", () => {}); // its database is dropped under it
  const query = (sql: string, values?: unknown[]) => tryAgain(() => application.query(sql, values)); // it may have to, where serializable is the default
  const me = randomBytes(4).toString("hex");
  const said: string[] = [];
  const ask = async (path: string, method?: string, body?: unknown) => {
    const answer = await call(service, me, path, { ...(method && { method }), body });
    said.push(`${method ?? "GET"} ${answer.status} ${plain(answer.body).replaceAll(me, "me")}`);
    return answer.body;
  };
  const notify = (title: string) =>
    query(
      `select bellwire.notify($1, 'test', title => $2, data => '{"at": "\u00e4", "n": 1e400, "f": 1.10}')`,
      [me, title],
    );
  const { cursor } = await ask("");
  const stream = await openStream(service, me);
  await stream.waitFor(({ event }) => event === "ready");
  await notify("first \\ 'quoted'");
  await notify("second");
  await stream.take(2);
  const resumed = await openStream(service, me, { lastEventId: stream.events[1]?.id ?? "" });
  await resumed.take(1);
  const list = await ask("");
  const [second, first] = list.notifications;
  await ask(`/poll?since=${cursor}`);
  await ask(`/${first.id}`, "PATCH", { read: true });
  await resumed.waitFor(({ event }) => event === "state");
  await ask(`/${second.id}`, "PATCH", { archived: true });
  await ask("?filter=archived&type=test");
  await ask("/unread-count");
  await notify("third");
  await ask("/mark-all-seen", "POST", {});
  await ask("/mark-all-read", "POST", {});
  await ask("?filter=unread");
  await ask("/preferences", "PUT", { mutedTypes: ["a\\b", "NULL", "{}", ""].filter(Boolean) });
  await ask("/preferences");
  const { ticket } = await ask("/tickets", "POST", {});
  const byTicket = await fetch(`${service.url}/api/notifications/stream?ticket=${ticket}`);
  said.push(`ticket ${byTicket.status}`);
  await byTicket.body?.cancel();
  said.push(`readyz ${(await fetch(`${service.url}/readyz`)).status}`);
  await notify("last");
  await Promise.all([stream.take(2), resumed.take(2)]);
  await tourRules(query, me);
  await ask("?limit=2");
  await query("select bellwire.revoke($1)", [me]);
  await Promise.all([stream.ended, resumed.ended]);
  // How many reads show two changes is chance.
  for (const { events } of [stream, resumed]) {
    const names = events.map(({ event }) => event).filter((event) => event !== "ping");
    said.push(...names.filter((event, i) => event !== names[i - 1]));
  }
  return said;
}

/** A rule that tells, that tells nobody twice, and that fails; and one that is refused. */
async function tourRules(
  query: (sql: string, values?: unknown[]) => Promise<pg.QueryResult>,
  me: string,
): Promise<void> {
  await query("create table public.things (owner_id text, n int)");
  await query("create function public.writes() returns text volatile begin atomic select 'x'; end");
  const define = (name: string, type: string) =>
    query(`
      select bellwire.define_rule('${name}', 'public.things', 'insert or update', $$
        select n.owner_id as recipient_id, ${type} as type, 'k' || n.n as dedupe_key,
               jsonb_build_object('n', n.n, 'even', n.n = 2, 'old', o.n) as data
          from new_rows n
          left join old_rows o on false
         where 6 / n.n > 0
      $$)`);
  await define("told", "'thing'");
  await expect(define("writes", "public.writes()")).rejects.toThrow("volatile");
  for (const n of [2, 2, 1, 0]) await query("insert into public.things values ($1, $2)", [me, n]);
  const errors = await query("select rule, sqlstate, message, errors from bellwire.rule_errors");
  expect(errors.rows).toEqual([
    { rule: "told", sqlstate: "22012", message: "division by zero", errors: "1" },
  ]);
}

describe.each(inject("servers"))("on $name the service is the same", (server) => {
  let expected: string[];
  /** Each setting that a session may have, and its value without any of ours. */
  let known: Map<string, string>;

  /** A database of its own, and a login that has those settings, where they are not the database's. */
  async function prepare(settings: [string, string][], of: "database" | "role") {
    const role = `odd_${randomBytes(4).toString("hex")}`;
    // Last, for the role owns what the application makes.
    if (of === "role") onTestFinished(() => drop(role));
    const database = await createDatabase(server);
    onTestFinished(database.close);
    const name = new URL(database.url).pathname.slice(1);
    let { url } = database;
    let owner = `database ${name}`;
    if (of === "role") {
      await database.query(`create role ${role} superuser login password 'odd'`);
      owner = `role ${role}`;
      const own = new URL(database.url);
      own.username = role;
      own.password = "odd";
      url = own.toString();
    }
    for (const [setting, value] of settings)
      if (known.has(setting)) await database.query(`alter ${owner} set ${setting} = ${value}`);
    return url;
  }

  async function drop(role: string) {
    const client = new pg.Client(server.url);
    await client.connect();
    await client.query(`drop role if exists ${role}`);
    await client.end();
  }

  async function readSettings(url: string) {
    const client = new pg.Client(url);
    await client.connect();
    await client.query("do $$ begin end $$"); // plpgsql brings its own settings
    const { rows } = await client.query<{ name: string; setting: string }>(
      `select name, setting from pg_settings
        where context in ('user', 'superuser', 'backend', 'superuser-backend')`,
    );
    await client.end();
    return new Map(rows.map(({ name, setting }) => [name, setting]));
  }

  beforeAll(async () => {
    known = await readSettings(server.url);
  });

  test("and each setting that there is has an odd value here, or a reason why not", () => {
    const why = (name: string) => NO_MATTER.filter(([names]) => names.test(name));
    const count = (name: string) => Number(Object.hasOwn(ODD, name)) || why(name).length;
    expect([...known.keys()].filter((name) => count(name) !== 1)).toEqual([]);
  });

  test("as with none of them", async () => {
    const url = await prepare([], "database");
    expected = await tour(url, await startService({ databaseUrl: url }));
    expect(expected.filter((line) => / [45]\d\d /.test(line))).toEqual([]);
  });

  const isFirst = server.url === inject("servers")[0]?.url;

  // Those that change a text or a result each alone, on one server; plans and the rest with all the others.
  test.skipIf(!isFirst).each(Object.entries(ODD_FORMS))("with %s = %s", async (...setting) => {
    const url = await prepare([setting], "database");
    expect(await tour(url, await startService({ databaseUrl: url }))).toEqual(expected);
  });

  // By role on the first server alone: it is half a minute on PostgreSQL 15, whose plans under these costs are poor.
  test.each(isFirst ? (["database", "role"] as const) : (["database"] as const))(
    "with all of them at once, set for the %s; migrate, plan and status, too",
    async (of) => {
      const own = { folders: ["sql/example", "sql/rules"], log };
      const told = async (url: string) => [
        await plan({ url, ...own }),
        formatStatus(await status({ url, ...own })),
      ];
      const before = await told(await prepare([], "database"));
      const url = await prepare(Object.entries(ODD), of);
      const odd = await readSettings(url);
      // The driver sets the encoding, whatever anybody else has.
      const same = Object.keys(ODD).filter(
        (name) => known.has(name) && odd.get(name) === known.get(name),
      );
      expect(same).toEqual(["client_encoding"]);
      expect((await told(url)).map(withoutNames)).toEqual(before.map(withoutNames));
      await migrate({ url, ...own });
      expect(await tour(url, await startService({ databaseUrl: url }))).toEqual(expected);
    },
    120_000,
  );
});

test("a login under which no trigger fires is refused, and the service is not ready", async () => {
  const database = await createDatabase();
  onTestFinished(database.close);
  const service = await startService({ databaseUrl: database.url, env: { SWEEP_MS: "50" } });
  const name = new URL(database.url).pathname.slice(1);
  await database.query(`alter database ${name} set session_replication_role = 'replica'`);
  await database.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'bellwire%' and datname = current_database()",
  );
  await expect.poll(async () => (await fetch(`${service.url}/readyz`)).status).toBe(503);
  await expect.poll(service.logged).toContain("session_replication_role is replica");
});
