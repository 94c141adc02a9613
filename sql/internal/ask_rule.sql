-- Runs a rule's query on one row of its table as if that had just been written, without writing anything, and returns what came out:
--
--   told     the notifications for `recipient`, or all of them if that is null, as bellwire.told
--   others   up to five other recipients
--   rows     the number of rows that the query returns, and `nobody` how many of them have no recipient
--   plan     if the query returns no row: its plan, with the number of rows of each part
--   written  the row, each column cut to 60 characters, and `key` its primary key
--   error    if the query fails: its SQLSTATE and its message; then only these three are known
--
-- Null if the row is no longer there. `place` is its ctid and `partition` its tableoid. They are read with the caller's rights, because the
-- rule itself gets the row from its trigger. Everything happens in a subtransaction that is read-only and is rolled back, with all
-- settings that the query's code has changed.
--
-- A statement_timeout that ends the query is an error of this query only. PostgreSQL does not set it again for the rest of the caller's
-- statement; from then on a cancellation by the user also ends one query only.
--
-- Rights   called by bellwire.explain() and try_rule()
-- Remove   with the schema
-- requires: query_on_rows.sql
-- requires: run_as_rules.sql
create or replace function bellwire.ask_rule(
  query     text,
  on_table  regclass,
  event     text,
  place     tid,
  partition oid,
  recipient text default null
)
  returns jsonb
  language plpgsql
  set search_path = pg_catalog, pg_temp
  -- A policy that hides the row is an error, and is not run: it would have the caller's rights.
  set row_security = off
as $ask$
declare
  statement constant text := bellwire.query_on_rows(ask_rule.query, ask_rule.on_table, ask_rule.event);
  time_out  constant interval := current_setting('statement_timeout')::interval;
  run       constant text := format(
    'select (select array_agg(x.x) from bellwire.run_as_rules($1, w.written) as x) '
    'from (select array_agg(t) as written from %s t where t.ctid = %L and t.tableoid = %s) as w where w.written is not null',
    on_table, place, partition
  );
  known     json[];
  answer    json[];
  plan      json[];
begin
  begin
    perform set_config('transaction_read_only', 'on', true);
    execute run
       into known
      using (
              select format(
                       'select json_build_object(''key'', %s, ''written'', json_object(%L, array[%s])) from unnest($1) as r',
                       coalesce(bellwire.row_key(on_table), 'null'),
                       array_agg(a.attname),
                       string_agg(format('left(r.%I::text, 60)', a.attname), ', ')
                     )
                from pg_attribute a
               where a.attrelid = on_table
                 and a.attnum > 0
                 and not a.attisdropped
            );
    -- A column that the query does not return is found in "missing". The query itself cannot see that.
    execute run
       into answer
      using statement || format(
$answer$,
answer as (
  select x.*
    from (select null::text as type, null::text as actor_id, null::text as title, null::text as body, null::text as link,
                 null::text as data, null::text as dedupe_key) as missing
   cross join lateral (
           select bellwire.same_id(recipient_id::text) as recipient_id, type::text as type, bellwire.same_id(actor_id::text) as actor_id,
                  title::text as title, body::text as body, link::text as link, data::text as data, dedupe_key::text as dedupe_key
             from told
         ) as x
)
select json_build_object(
         'told', coalesce((select json_agg(a) from answer a where %1$L is null or a.recipient_id = %1$L), '[]'),
         'others', (
           select json_agg(o.recipient_id)
             from (select distinct a.recipient_id from answer a where a.recipient_id <> %1$L order by 1 limit 5) o
         ),
         'rows', (select count(*) from answer),
         'nobody', (select count(*) from answer a where a.recipient_id is null)
       )$answer$,
         recipient
       );
    if (answer[1] ->> 'rows')::bigint = 0 then
      execute run
         into plan
        using 'explain (analyze, verbose, costs off, timing off, summary off, format json) ' || statement || 'select * from told';
    end if;
    raise exception using errcode = 'BW000';  -- all is known: roll it back
  exception
    when sqlstate 'BW000' then
      null;
    when query_canceled then
      if time_out = interval '0' or clock_timestamp() < statement_timestamp() + time_out then
        raise;
      end if;
      return coalesce(known[1]::jsonb, '{}') || jsonb_build_object('error', 'it did not finish within the statement_timeout');
    when others or assert_failure then
      return coalesce(known[1]::jsonb, '{}') || jsonb_build_object('error', format('%s %s', sqlstate, sqlerrm));
  end;
  return known[1]::jsonb || answer[1]::jsonb || jsonb_build_object('plan', plan[1] -> 0 -> 'Plan');
end;
$ask$;

comment on function bellwire.ask_rule(text, regclass, text, tid, oid, text) is
  'Internal. Runs a rule''s query on one row without writing, and returns what came out.';

revoke all on function bellwire.ask_rule(text, regclass, text, tid, oid, text) from public;
