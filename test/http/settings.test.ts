import { randomBytes } from "node:crypto";
import pg from "pg";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream } from "../support/event-source.ts";
import { call, type Service, startService } from "../support/service.ts";

/**
 * What a database or a login may have set that changes a result, the text of a value, how a text is read, or a plan; each with
 * a value that nobody would expect. The rest of pg_settings is the server's own, or bounds and logs what is done.
 */
const ODD: Record<string, string> = {
  DateStyle: "'SQL, DMY'",
  IntervalStyle: "iso_8601",
  TimeZone: "'Asia/Kathmandu'",
  timezone_abbreviations: "'India'",
  bytea_output: "escape",
  extra_float_digits: "-15",
  xmlbinary: "hex",
  xmloption: "document",
  standard_conforming_strings: "off",
  backslash_quote: "on",
  escape_string_warning: "off",
  array_nulls: "off",
  transform_null_equals: "on",
  default_transaction_isolation: "'serializable'",
  quote_all_identifiers: "on",
  search_path: "'public, pg_temp'",
  client_encoding: "'LATIN1'",
  client_min_messages: "debug1",
  lc_messages: "'C'",
  lc_numeric: "'C'",
  lc_time: "'C'",
  lc_monetary: "'C'",
  default_transaction_deferrable: "on",
  default_table_access_method: "heap",
  check_function_bodies: "off",
  row_security: "off",
  plan_cache_mode: "force_custom_plan",
  enable_indexscan: "off",
  enable_indexonlyscan: "off",
  enable_hashjoin: "off",
  enable_nestloop: "off",
  enable_sort: "off",
  jit_above_cost: "0",
  from_collapse_limit: "1",
  join_collapse_limit: "1",
  geqo_threshold: "2",
  constraint_exclusion: "on",
  max_parallel_workers_per_gather: "4",
  parallel_setup_cost: "0",
  parallel_tuple_cost: "0",
  work_mem: "'64kB'",
  synchronous_commit: "off",
  gin_fuzzy_search_limit: "1",
  statement_timeout: "'9s'",
  lock_timeout: "'7s'",
  idle_in_transaction_session_timeout: "'5s'",
  default_text_search_config: "'simple'",
  vacuum_freeze_min_age: "0",
};

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

/** Everything that a client can ask for, and what came of it. */
async function tour(database: TestDatabase, service: Service): Promise<string[]> {
  const me = randomBytes(4).toString("hex");
  const said: string[] = [];
  const ask = async (path: string, method?: string, body?: unknown) => {
    const answer = await call(service, me, path, { ...(method && { method }), body });
    said.push(`${method ?? "GET"} ${answer.status} ${plain(answer.body).replaceAll(me, "me")}`);
    return answer.body;
  };
  const notify = (title: string) =>
    database.query(
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
  await database.query("select bellwire.revoke($1)", [me]);
  await Promise.all([stream.ended, resumed.ended]);
  // How many reads show two changes is chance.
  for (const { events } of [stream, resumed])
    said.push(
      ...events
        .map(({ event }) => event)
        .filter((event, i, all) => event !== "ping" && event !== all[i - 1]),
    );
  return said;
}

describe.each(inject("servers"))("on $name the service is the same", (server) => {
  let expected: string[];
  let known: Set<string>;

  /** A database of its own, and a login that has those settings, where they are not the database's. */
  async function prepare(settings: [string, string][], of: "database" | "role") {
    const database = await createDatabase(server);
    onTestFinished(database.close);
    const name = new URL(database.url).pathname.slice(1);
    let { url } = database;
    let owner = `database ${name}`;
    if (of === "role") {
      const role = `odd_${randomBytes(4).toString("hex")}`;
      await database.query(`create role ${role} superuser login password 'odd'`);
      onTestFinished(async () => {
        const client = new pg.Client(server.url);
        await client.connect();
        await client.query(`drop role if exists ${role}`);
        await client.end();
      });
      owner = `role ${role}`;
      const own = new URL(database.url);
      own.username = role;
      own.password = "odd";
      url = own.toString();
    }
    for (const [setting, value] of settings)
      if (known.has(setting.toLowerCase()))
        await database.query(`alter ${owner} set ${setting} = ${value}`);
    return { database, url };
  }

  beforeAll(async () => {
    const database = await createDatabase(server);
    const rows = await database.query<{ name: string }>(
      "select lower(name) as name from pg_settings",
    );
    known = new Set(rows.map(({ name }) => name));
    await database.close();
  });

  test("as with none of them", async () => {
    const { database, url } = await prepare([], "database");
    expected = await tour(database, await startService({ databaseUrl: url }));
    expect(expected.filter((line) => / [45]\d\d /.test(line))).toEqual([]);
  });

  // Those that change a text or a result each alone, on one server; plans and the rest with all the others.
  test.skipIf(server.url !== inject("servers")[0]?.url).each(Object.entries(ODD).slice(0, 17))(
    "with %s = %s",
    async (...setting) => {
      const { database, url } = await prepare([setting], "database");
      expect(await tour(database, await startService({ databaseUrl: url }))).toEqual(expected);
    },
  );

  test.each(["database", "role"] as const)(
    "with all of them at once, set for the %s; migrate, too",
    async (of) => {
      const { database, url } = await prepare(Object.entries(ODD), of);
      await migrate({ url, folders: ["sql/example", "sql/rules"], log });
      expect(await tour(database, await startService({ databaseUrl: url }))).toEqual(expected);
    },
    60_000,
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
