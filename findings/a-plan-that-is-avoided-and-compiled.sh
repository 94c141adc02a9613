#!/usr/bin/env bash
# A function with `set enable_seqscan = off` takes a hundred milliseconds for one row where PostgreSQL has its just-in-time compiler.
#
# The setting forbids nothing: up to PostgreSQL 17 it adds ten thousand million to the cost of the plan. Where no index serves, the plan is the
# same as before, but its cost is now above jit_above_cost, jit_inline_above_cost and jit_optimize_above_cost, so PostgreSQL compiles it
# with everything it has. On a table of one row that is a thousand times the time of the query. The packages of Debian and of
# postgresql.org have the compiler; those of many images and test servers have not, so the tests are quick.
#
#   postgresql-15 15.20 of Debian 12, JIT as by default; a query of a table with one row, in a new session:
#     as it is: not compiled
#     enable_seqscan = off: compiled
#     enable_seqscan = off, jit = off: not compiled
#
# A way around: `set jit = off` beside it. PostgreSQL 18 counts avoided nodes instead of adding to the cost.
# Exits with 0 while this is so.
set -euo pipefail
bin=/usr/lib/postgresql/15/bin
[ -e /usr/lib/postgresql/15/lib/llvmjit.so ] || { echo "Needs Debian's postgresql-15." >&2; exit 2; }
folder=$(mktemp -d)
chmod 777 "$folder"
as_user() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi; }
trap 'as_user "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1; rm -rf "$folder"' EXIT
cd "$folder"
as_user "$bin/initdb" -D "$folder/data" -U postgres --auth=trust -N >initdb.log
as_user "$bin/pg_ctl" -D "$folder/data" -o "-k $folder -c listen_addresses=" -l "$folder/log" -w start >start.log
sql() { psql -h "$folder" -U postgres -qtAX "$@"; }
sql -c 'create table small (id int primary key, changed int)' -c 'insert into small values (1, 1)' -c 'analyze small'
look() {
  local name=$1
  shift
  local plan
  plan=$(sql "$@" -c 'explain (analyze, timing off) select from small where changed >= 5')
  echo "$name: $(grep -q '^JIT:' <<<"$plan" && echo compiled || echo not compiled)"
}
{
  look "as it is"
  look "enable_seqscan = off" -c 'set enable_seqscan = off'
  look "enable_seqscan = off, jit = off" -c 'set enable_seqscan = off' -c 'set jit = off'
} | tee seen
diff seen - <<'TEXT'
as it is: not compiled
enable_seqscan = off: compiled
enable_seqscan = off, jit = off: not compiled
TEXT
