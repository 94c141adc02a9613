-- Shows whom a rule would tell, on existing rows, without installing it and without writing anything.
--
--   select key, recipient_id, type, title, not_told
--     from bellwire.try_rule($$
--       select t.customer_id as recipient_id, 'response.received' as type, r.message as title
--         from new_rows r
--         join public.tasks t on t.id = r.task_id
--     $$, 'public.responses', 'created_at > now() - interval ''1 day''');
--
--   query     as in bellwire.define_rule(), which refuses the same queries
--   on_table  the table whose rows are tried, at most 100 of them; a notice says if there are more
--   where     a condition on them, in SQL; it may use the alias t
--
-- Each row is tried alone, as if a statement had just inserted it, or updated it if the query reads old_rows too, or deleted it if the query
-- reads old_rows only. Nothing stores the old row of an update: there it is a row in which every column but the key has another value.
--
-- One line is a row of the query's result, with the key of its row of the table and all columns of the notification. `not_told` says
-- why it would make no notification: no recipient, the actor, a muted type, a dedupe_key that exists. A row for which the query
-- returns nothing has one line, which says why.
--
-- It needs a primary, because the check of the query makes a view, which is rolled back.
--
-- Rights   members of bellwire_owner who may read the table; the query runs as bellwire_rules, the condition as the caller
-- Remove   drop function bellwire.try_rule;
-- requires: ask_rule.sql
-- requires: check_rule_query.sql
-- requires: why_empty.sql
-- requires: why_unwanted.sql
create or replace function bellwire.try_rule(query text, on_table regclass, "where" text)
  returns table (
    key          text,
    recipient_id text,
    type         text,
    actor_id     text,
    title        text,
    body         text,
    link         text,
    data         text,
    dedupe_key   text,
    not_told     text
  )
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set row_security = off
as $$
#variable_conflict use_column
declare
  event  constant text := case
    when try_rule.query !~* e'\\mold_rows\\M' then 'insert'
    when try_rule.query ~* e'\\mnew_rows\\M' then 'update'
    else 'delete'
  end;
  places text[];
  place  text;
  answer jsonb;
begin
  perform bellwire.check_rule_query('try_rule()', try_rule.on_table, event, try_rule.query, 'notify');
  begin
    perform set_config('transaction_read_only', 'on', true);
    execute format(
      e'select array(select t.tableoid || '' '' || t.ctid from %s t where (\n%s\n) limit 101)', try_rule.on_table, coalesce("where", 'true')
    )
       into places;
    raise exception using errcode = 'BW000';  -- all is known: roll it back
  exception
    when sqlstate 'BW000' then
      null;
  end;
  if cardinality(places) > 100 then
    raise notice 'only 100 of the rows were tried; narrow the condition to try others';
  end if;
  foreach place in array places[:100] loop
    answer := bellwire.ask_rule(try_rule.query, try_rule.on_table, event, split_part(place, ' ', 2)::tid, split_part(place, ' ', 1)::oid);
    return query
      select answer ->> 'key', w.*, bellwire.why_unwanted(w)
        from jsonb_populate_recordset(null::bellwire.told, answer -> 'told') as w;
    if not found and answer is not null then
      return query
        select answer ->> 'key', (null::bellwire.told).*,
               coalesce(
                 'its query fails: ' || (answer ->> 'error'),
                 (select e.reason from bellwire.why_empty(answer -> 'plan', answer -> 'written') e)
               );
    end if;
  end loop;
end;
$$;

comment on function bellwire.try_rule(text, regclass, text) is
  'Shows whom a rule''s query would tell, on existing rows, without writing anything.';

revoke all on function bellwire.try_rule(text, regclass, text) from public;
