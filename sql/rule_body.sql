-- The body of a rule's trigger function: what \sf shows a DBA.
--
-- Rights   called by bellwire.define_rule()
-- Remove   with the schema
create or replace function bellwire.rule_body(rule text, query text, columns text[], on_error text)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $body$
  select format(
$template$
-- Written by bellwire.define_rule(); to change it, define the rule again.
#variable_conflict use_column
begin
  insert into bellwire.notifications (%1$s)
  select %2$s
    from (
%3$s
         ) as told
   where told.recipient_id is not null%4$s
     and not exists (
           select
             from bellwire.preferences p
            where p.recipient_id = told.recipient_id::text
              and told.type::text = any (p.muted_types)
         )%6$s;
  if found then
    perform bellwire.wake_listeners();
  end if;
  return null;
%5$send;
$template$,
    array_to_string(columns, ', '),
    (
      select string_agg(
               case c
                 when 'data' then 'coalesce(told.data::jsonb, ''{}'')'
                 else format('told.%s::text', c)
               end,
               ', ' order by position
             )
        from unnest(columns) with ordinality as listed (c, position)
    ),
    query,
    case when 'actor_id' = any (columns) then E'\n     and told.recipient_id::text is distinct from told.actor_id::text' end,
    case
      when on_error = 'record' then format(
$handler$exception
  -- What the application must see to try again. A cancellation is not among "others" and passes too.
  when serialization_failure or deadlock_detected then
    raise;
  when others or assert_failure then
    perform bellwire.record_rule_error(%L, sqlstate, sqlerrm);
    return null;
$handler$, rule)
      else ''
    end,
    case
      when 'dedupe_key' = any (columns)
      then E'\n      on conflict (recipient_id, dedupe_key) where dedupe_key is not null\n         do nothing'
    end
  );
$body$;

comment on function bellwire.rule_body(text, text, text[], text) is
  'The body of a rule''s trigger function.';

revoke all on function bellwire.rule_body(text, text, text[], text) from public;
