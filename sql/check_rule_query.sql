-- Refuses a rule that could not work: a table that cannot have it, a query that is not one SELECT, does
-- not fit the table, may not read what it names, or returns what a notification does not have.
--
-- Returns the columns the query returns, in the order of bellwire.notifications. Runs the query's plan as bellwire_owner,
-- as the rule will, and no further: no row is read.
--
-- Rights   called by bellwire.define_rule()
-- Remove   with the schema
create or replace function bellwire.check_rule_query(rule text, on_table regclass, on_event text, query text)
  returns text[]
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  known     constant text[] := array['recipient_id', 'type', 'actor_id', 'title', 'body', 'link', 'data', 'dedupe_key'];
  -- Volatile, for they answer differently each time; but they write nothing.
  harmless  constant oid[] := array['clock_timestamp()', 'gen_random_uuid()', 'random()']::regprocedure[];
  caller    constant text := current_setting('role');
  relation  pg_class;
  probe     text;
  plan      refcursor;
  returned  text[];
  offender  text;
  message   text;
  hint      text;
begin
  select c.* into relation from pg_class c where c.oid = on_table;
  if relation.relkind is null or relation.relkind not in ('r', 'p')
     or relation.relpersistence = 't'
     or relation.relnamespace in ('bellwire'::regnamespace, 'pg_catalog'::regnamespace)
  then
    raise exception 'rule "%": % cannot have rules; it must be an ordinary or partitioned table of the application',
      rule, coalesce(on_table::text, 'null') using errcode = 'wrong_object_type';
  end if;
  if relation.relispartition then
    raise exception 'rule "%": % is a partition; define the rule on its parent', rule, on_table
      using errcode = 'wrong_object_type';
  end if;
  if query is null then
    raise exception 'rule "%": the query is null', rule using errcode = 'null_value_not_allowed';
  end if;

  probe := format(
    e'with new_rows as (select (null::%1$s).* where false)%2$s\nselect * from (\n%3$s\n) as told',
    on_table,
    case when on_event = 'update' then format(', old_rows as (select (null::%s).* where false)', on_table) end,
    query
  );
  begin
    perform set_config('role', 'bellwire_owner', true);
    -- A cursor takes one statement that returns rows and nothing else, so what passes here cannot
    -- be two statements; opening it checks names, types and rights.
    open plan for execute probe;
    close plan;
    -- A view is a SELECT that modifies nothing, and tells the names and types of its columns.
    execute 'create view bellwire.rule_in_question as ' || probe;
    returned := array(
      select attname from pg_attribute
       where attrelid = 'bellwire.rule_in_question'::regclass and attnum > 0 order by attnum
    );
    -- From the stored query itself: pg_depend leaves out PostgreSQL's own functions and those behind operators.
    select p.oid::regprocedure::text into offender
      from pg_rewrite w
     cross join regexp_matches(w.ev_action::text, ':(?:op)?funcid (\d+)', 'g') as called (ids)
      join pg_proc p on p.oid = called.ids[1]::oid
     where w.ev_class = 'bellwire.rule_in_question'::regclass
       and p.provolatile = 'v'
       and p.oid <> all (harmless)
     limit 1;
    if offender is not null then
      raise exception 'the query calls %, which is volatile and so may write', offender
        using errcode = 'invalid_object_definition',
              hint = 'If it only reads, declare it stable.';
    end if;
    select a.atttypid::regtype::text into offender
      from pg_attribute a
     where a.attrelid = 'bellwire.rule_in_question'::regclass
       and a.attname = 'data'
       and a.atttypid not in ('json'::regtype, 'jsonb'::regtype);
    if offender is not null then
      raise exception 'data must be json or jsonb, not %', offender
        using errcode = 'datatype_mismatch',
              hint = 'Use jsonb_build_object(''taskId'', …).';
    end if;
    drop view bellwire.rule_in_question;
    perform set_config('role', caller, true);
  exception
    when others then
      get stacked diagnostics message = message_text, hint = pg_exception_hint;
      hint := case
        when sqlstate in ('42P11', '42601', '0A000') then
          'A rule''s query is one SELECT, with no semicolon and nothing that modifies.'
        when sqlstate = '42P01' and on_event = 'insert' and message ~ 'old_rows' then 'Only an update has old_rows.'
        when sqlstate = '42P01' then 'Name tables with their schema, as in public.tasks; new_rows and old_rows have none.'
        when sqlstate = '42501' then 'Rules run as bellwire_owner: grant select on the tables they read, and usage on their schemas, to bellwire_owner.'
        when sqlstate in ('42703', '42702') then format(
          'new_rows and old_rows have the columns of %s: %s.',
          on_table,
          (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
            where attrelid = on_table and attnum > 0 and not attisdropped)
        )
        when hint <> '' then hint
        else 'See docs/dba.md for what a rule''s query may be.'
      end;
      raise exception 'rule "%": %', rule, message using errcode = sqlstate, hint = hint;
  end;

  select c into offender from unnest(returned) c where c <> all (known) limit 1;
  if offender is not null then
    raise exception 'rule "%": unknown column "%"', rule, offender
      using errcode = 'undefined_column',
            hint = format('A rule returns any of %s.', array_to_string(known, ', '));
  end if;
  select c into offender from unnest(known[1:2]) c where c <> all (returned) limit 1;
  if offender is not null then
    raise exception 'rule "%": the query does not return "%"', rule, offender
      using errcode = 'undefined_column',
            hint = format('It returns %s; recipient_id and type are required, and any of %s may be added.',
                          array_to_string(returned, ', '), array_to_string(known[3:], ', '));
  end if;
  return array(select c from unnest(known) c where c = any (returned));
end;
$$;

comment on function bellwire.check_rule_query(text, regclass, text, text) is
  'Refuses a rule that could not work; returns the columns its query returns.';

revoke all on function bellwire.check_rule_query(text, regclass, text, text) from public;
