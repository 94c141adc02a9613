-- The body of a rule's trigger function: what \sf shows a DBA. Which rows are wanted is said here and in
-- bellwire.is_wanted(): before PostgreSQL 18 a function in SQL is planned whenever it is called, for one probe of an index.
--
-- Rights   called by bellwire.define_rule(), and below, for the rules that are there
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
declare
  many boolean;
begin
  -- A session keeps a plan, made for as many rows as there were: one row's takes the square of the time for many, and that
  -- of many may read a whole table for each single row. So many rows are planned for by themselves.
  many := exists (select from new_rows offset 100);
  if many then
    discard plans;
  end if;
  insert into bellwire.notifications (%1$s)
  select %2$s
    from (
%3$s
         ) as told
   where told.recipient_id is not null
%4$s     -- Muted? As a subquery of its own, for as a join a session that began with a bulk insert might scan the table ever after.
     and (
           select told.type::text = any (p.muted_types)
             from bellwire.preferences p
            where p.recipient_id = told.recipient_id::text
         ) is not true%6$s;
  -- Whether they are to be woken is asked here as well: it is an expression, the call a query, a twentieth of the insert.
  if found and not bellwire.wakeups_are_suspended() then
    perform bellwire.wake_listeners();
  end if;
  if many then
    discard plans;
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
    case
      when 'actor_id' = any (columns) then e'     and told.recipient_id::text is distinct from told.actor_id::text\n'
    end,
    case
      when on_error = 'record' then format(
$handler$exception
  -- What the application must see to try again. A cancellation is not among "others" and passes too.
  when serialization_failure or deadlock_detected then
    raise;
  when others or assert_failure then
    perform bellwire.record_rule_error(%L, sqlstate, sqlerrm);
    if many then
      discard plans;
    end if;
    return null;
$handler$, rule)
      else ''
    end,
    -- Without a key nothing can be in conflict, and a row that might be costs a lock and a record in the WAL.
    case
      when 'dedupe_key' = any (columns) then e'\n      on conflict (recipient_id, dedupe_key) where dedupe_key is not null\n         do nothing'
    end
  );
$body$;

comment on function bellwire.rule_body(text, text, text[], text) is
  'The body of a rule''s trigger function.';

revoke all on function bellwire.rule_body(text, text, text[], text) from public;

-- A rule keeps the body it was given: those that are there get this one. One that would not be accepted any more keeps
-- its own, with a warning. Not by define_rule(), which would enable what somebody has disabled.
do $renew$
declare
  rule record;
  body text;
begin
  for rule in
    select d.*
      from bellwire.rule_definitions d
      join pg_trigger t on t.tgrelid = d.on_table and t.tgname = d.trigger_name
     where t.tgfoid = to_regprocedure(d.function)
     order by d.name
  loop
    begin
      body := bellwire.rule_body(
        rule.name,
        rule.query,
        bellwire.check_rule_query(rule.name, rule.on_table, rule.on_event, rule.query),
        rule.on_error
      );
      continue when body = (select p.prosrc from pg_proc p where p.oid = to_regprocedure(rule.function));
      execute format(
        'create or replace function %s returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as %L',
        rule.function, body
      );
      update bellwire.rule_definitions d set checksum = md5(body) where d.name = rule.name;
    exception
      when others then
        raise warning 'bellwire: rule "%" keeps the body that an older release gave it: %', rule.name, sqlerrm
          using hint = 'Mend it and define it again, or drop it.';
    end;
  end loop;
end
$renew$;
