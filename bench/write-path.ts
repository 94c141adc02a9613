import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { startEmbedded } from "../src/embedded/embedded.ts";
import { createLogger } from "../src/logger.ts";
import { migrate } from "../src/migrate/migrate.ts";
import { addRound, type Result } from "./result.ts";

const ROUNDS = 5;
const SECONDS = 3;
const WRITERS = [1, 64];
/** Rounds that measure CPU time, which is more reliable than inserts/s on a shared machine: many short rounds, in turns. */
const CPU_ROUNDS = 200;
const CPU_INSERTS = 60;
/** Rows of bellwire.notifications before the first round. */
const ROWS = 300_000;
const USERS = 10_000;

/** Wake-ups are suspended, as by the service under load. Otherwise 64 writers wait for one lock, which hides everything else. */
const WHOLE = "as it is, wake-ups suspended";

const SEED = `
  insert into public.users (name) select 'user ' || n from generate_series(1, ${USERS}) n;
  insert into bellwire.notifications
         (recipient_id, type, actor_id, title, body, link, data, created_xid, changed_xid)
  select (1 + hashint8(n) & 8191)::text, 'message.received', '1', 'New message', 'Hello', '/messages/1',
         jsonb_build_object('messageId', n), (3 + n / 10)::text::xid8, (3 + n / 10)::text::xid8
    from generate_series(1, ${ROWS}) n`;

const INSERT_MANY = `
  create procedure public.insert_many(inserts int) language plpgsql as $$
  begin
    for i in 1 .. inserts loop
      insert into public.messages (sender_id, recipient_id, body)
      values (1, 2 + (random() * ${USERS - 2})::int, 'Hello, are you there?');
      commit;
    end loop;
  end
  $$`;

const INSERT = `\\set recipient random(2, ${USERS})
insert into public.messages (sender_id, recipient_id, body) values (1, :recipient, 'Hello, are you there?');
`;

/** The purpose of each index of bellwire.notifications. test/db/index-use.test.ts has the plans. */
const INDEXES: Record<string, string> = {
  pkey: "one notification (a mark, a row of a page), and the oldest (`prune()`)",
  changed_xid_idx: "the feed: `changes_since()`",
  recipient_id_changed_xid_idx: "a replay: `changes_for()`",
  recipient_id_id_unread_idx: "the badge, the unread page, and the unread part of the inbox's page",
  recipient_id_id_read_idx: "the rest of the inbox's page; a new notification adds nothing to it",
  recipient_id_id_archived_idx: "the archived page; a new notification adds nothing to it",
  created_xid_idx:
    "the newest position, and rows of a restored dump; a plain insert adds nothing to it",
  recipient_id_dedupe_key_type_idx: "no duplicates: `on conflict` of rows with a `dedupe_key`",
};

/** Without the unique index `on conflict` would be an error; the rules here have none. */
const WITHOUT_INDEX = Object.fromEntries(
  Object.keys(INDEXES).map((index) => [
    `without ${index}`,
    index === "pkey"
      ? "alter table bellwire.notifications drop constraint notifications_pkey"
      : `drop index bellwire.notifications_${index}`,
  ]),
);

const ROW = `insert into bellwire.notifications (recipient_id, type, actor_id, title, body, link, data)
    select new.recipient_id, 'message.received', new.sender_id, sender.name || ' sent you a message', bellwire.preview(new.body),
           '/messages/' || new.sender_id, jsonb_build_object('messageId', new.id, 'actorName', sender.name)
      from public.users sender
     where sender.id = new.sender_id
    returning * into told;`;

const WITHOUT_RULES = "select bellwire.drop_rule(name) from bellwire.rules";

/** The cost of the parts of a rule: each variant lacks a part, or has another in its place. */
const WITHOUT_PART = {
  "no trigger": WITHOUT_RULES,
  "rules that do nothing": eachRule(
    // The rule's own handler is not indented.
    String.raw`regexp_replace(body, 'begin.*?\nexception', E'begin\n  return null;\nexception')`,
  ),
  "with a second rule, which tells nobody": `select bellwire.define_rule('nobody', 'public.messages', 'insert',
     'select recipient_id, ''nobody'' as type from new_rows where task_id is not null')`,
  "without the handler (on_error => 'raise')":
    "select bellwire.define_rule(name, on_table, on_event, query, 'raise', action) from bellwire.rule_definitions",
  "is_wanted() in the place of its condition": eachRule(
    `regexp_replace(body, 'where told.recipient_id is not null.* is not true',
       'where bellwire.is_wanted(told.recipient_id::text, told.type::text, null)')`,
  ),
  "wake-ups sent": "select bellwire.resume_wakeups()",
  "without asking whether wake-ups are suspended": eachRule(
    "replace(body, 'if found and bellwire.wake_listeners() is null then', 'if false then')",
  ),
  "a row trigger, no NOTIFY": rowTrigger(""),
  "a row trigger, NOTIFY with the row": rowTrigger(
    "perform pg_notify('usual', row_to_json(told)::text);",
  ),
};

/**
 * The cost of one insert into a table with rules, and the share of each part and index. Each variant of the database lacks one of them,
 * and each round also measures the complete database. Ratios are of the same round.
 */
export async function writePath(): Promise<Result> {
  const result: Result = {
    scenario: "write-path",
    what: `pgbench inserts single rows into \`messages\`, which has the marketplace's rule; its statements are prepared. The table of notifications has ${ROWS} rows before. ${ROUNDS} rounds of ${SECONDS} s. Each ratio compares with the unchanged database in the same round. The processor time is that of 1 writer that does not wait for flushes, in ${CPU_ROUNDS} rounds of ${CPU_INSERTS} inserts.`,
    figures: {},
    goals: [],
    notes: [],
    place: `${cpus().length} cores (${cpus()[0]?.model}), ${new Date().toISOString().slice(0, 10)}`,
  };
  const pgbench = await findPgbench();
  if (!pgbench) {
    result.notes.push("Skipped: no pgbench on PATH, nor in /usr/lib/postgresql/*/bin.");
    return result;
  }

  const log = createLogger("silent");
  const dir = await mkdtemp(join(tmpdir(), "bellwire-bench-"));
  const server = await startEmbedded({ dir: join(dir, "pg"), port: 0, log });
  await migrate({ url: server.url, folders: ["sql/example", "sql/rules"], log });
  const script = join(dir, "insert.sql");
  await writeFile(script, INSERT);
  await query(server.url, `${SEED}; ${INSERT_MANY}; select bellwire.suspend_wakeups()`);
  await query(server.url, "vacuum analyze");
  const { server_version } = (await query(server.url, "show server_version"))[0];
  result.place = `PostgreSQL ${server_version}, ${result.place}`;

  const contenders = Object.entries({ [WHOLE]: "", ...WITHOUT_PART, ...WITHOUT_INDEX });
  const urls = new Map<string, string>();
  const admin = server.url.replace(/\/bellwire\b/, "/postgres");
  for (const [i, [name, sql]] of contenders.entries()) {
    await query(admin, `create database contender_${i} template bellwire`);
    const url = server.url.replace(/\/bellwire\b/, `/contender_${i}`);
    await query(url, sql);
    urls.set(name, url);
  }

  async function countInserts(url: string, writers: number): Promise<number> {
    await query(url, "checkpoint"); // so that each variant writes full pages to the WAL equally often
    const { stdout } = await promisify(execFile)(pgbench ?? "", [
      ...["-n", "-M", "prepared", "-c", String(writers), "-j", "1", "-T", String(SECONDS)],
      ...["-f", script, url],
    ]);
    return Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1]);
  }

  for (let round = 0; round < ROUNDS; round++) {
    const base = new Map<number, number>();
    for (const [name, url] of urls) {
      for (const writers of WRITERS) {
        const inserts = await countInserts(url, writers);
        if (name === WHOLE) base.set(writers, inserts);
        addRound(result.figures, name, {
          [`inserts/s, ${writers}`]: inserts,
          [`ratio, ${writers}`]: inserts / (base.get(writers) ?? Number.NaN),
        });
      }
    }
  }

  await addCpu(result, urls);

  const sizes = await query(
    urls.get(WHOLE) ?? "",
    `select replace(indexrelname, 'notifications_', '') as index,
            pg_relation_size(indexrelid)::float8 / (select count(*) from bellwire.notifications) as bytes
       from pg_stat_user_indexes
      where relid = 'bellwire.notifications'::regclass`,
  );
  for (const { index, bytes } of sizes) {
    addRound(result.figures, `without ${index}`, { "bytes a row": bytes });
    result.notes.push(`\`notifications_${index}\`: ${INDEXES[index]}.`);
  }
  await server.close();
  // Two folders if the server's account may not enter root's own TMPDIR.
  for (const folder of [dir, server.dir]) await rm(folder, { recursive: true, force: true });
  return result;
}

/** Adds the CPU time of one insert in the writer's server process, as Linux counts it. */
async function addCpu(result: Result, urls: Map<string, string>): Promise<void> {
  const writers = [];
  for (const [name, url] of urls) {
    const client = new pg.Client(url);
    await client.connect();
    await client.query("set synchronous_commit = off");
    const { pid } = (await client.query("select pg_backend_pid() as pid")).rows[0];
    writers.push({ name, client, stat: `/proc/${pid}/schedstat` });
  }
  if (writers.every(({ stat }) => existsSync(stat))) {
    for (let round = -1; round < CPU_ROUNDS; round++) {
      let base = Number.NaN;
      for (const { name, client, stat } of writers) {
        const before = await readNanoseconds(stat);
        await client.query(`call public.insert_many(${CPU_INSERTS})`);
        const cpu = ((await readNanoseconds(stat)) - before) / CPU_INSERTS / 1000;
        if (round < 0) continue; // a warm-up, in which the session plans its statements
        if (name === WHOLE) base = cpu;
        addRound(result.figures, name, { "CPU µs": cpu, "CPU, ratio": cpu / base });
      }
    }
  } else result.notes.push("No processor time: it is read from /proc.");
  for (const { client } of writers) await client.end();
}

async function readNanoseconds(schedstat: string): Promise<number> {
  return Number((await readFile(schedstat, "utf8")).split(" ")[0]);
}

/** Replaces the body of each rule's trigger function. `expression` makes the new one from `body`. */
function eachRule(expression: string): string {
  return `
    do $do$
    declare
      rule record;
    begin
      for rule in
        select d.function, ${expression} as new_body
          from bellwire.rule_definitions d
          join pg_proc p on p.oid = to_regprocedure(d.function)
         cross join lateral (select p.prosrc as body) b
      loop
        execute format(
          'create or replace function %s returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as %L',
          rule.function, rule.new_body
        );
      end loop;
    end
    $do$`;
}

function rowTrigger(notify: string): string {
  return `
    ${WITHOUT_RULES};
    create function public.tell() returns trigger language plpgsql as $$
    declare
      told bellwire.notifications;
    begin
      ${ROW}
      ${notify}
      return null;
    end;
    $$;
    create trigger tell after insert on public.messages for each row execute function public.tell()`;
}

async function findPgbench(): Promise<string | undefined> {
  const debian = "/usr/lib/postgresql";
  const versions = await readdir(debian).catch(() => []);
  const folders = [
    ...(process.env.PATH ?? "").split(delimiter),
    ...versions.map((version) => join(debian, version, "bin")),
  ];
  return folders.map((folder) => join(folder, "pgbench")).find(existsSync);
}

async function query(url: string, sql: string) {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}
