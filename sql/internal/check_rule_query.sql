-- Refuses a rule that could not work: a table that cannot have rules, or a query that is not one SELECT, does not fit the table,
-- reads without the right to, or returns other columns than its action needs.
--
-- Returns the columns of the query, in the order of bellwire.notifications, and those for whose type bellwire.same_id() has a form of
-- its own. No row is read. But even planning a query runs code:
-- the check of a domain behind a literal, an immutable function. That code has the rights of bellwire_rules, as in the rule
-- later, and cannot set another role. All that it does is rolled back, together with the view that shows the query's columns.
--
-- Rights   called by bellwire.define_rule(), and by the command status
-- Remove   with the schema
create or replace function bellwire.check_rule_query(
  rule     text,
  on_table regclass,
  on_event text,
  query    text,
  action   text,
  out columns text[],
  out typed   text[]
)
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  known     constant text[] := array['recipient_id', 'type', 'actor_id', 'title', 'body', 'link', 'data', 'dedupe_key'];
  -- These are volatile because their result differs each time; but they write nothing.
  harmless  constant oid[] := array['clock_timestamp()', 'gen_random_uuid()', 'random()']::regprocedure[];
  relation  pg_class;
  visible   text;    -- the columns of new_rows and old_rows
  virtual   text[];  -- columns that they lack: PostgreSQL computes those when it reads a table
  probe     text;
  returned  text[] := '{}';
  offender  text;
  message   text;
  denied    text;    -- the table or view that bellwire_rules may not read
  hint      text;
begin
  select c.* into relation from pg_class c where c.oid = on_table;
  if relation.relkind is null or relation.relkind not in ('r', 'p')
     or relation.relpersistence = 't'
     or relation.relnamespace in ('bellwire'::regnamespace, 'pg_catalog'::regnamespace)
  then
    raise exception 'rule "%": % cannot have rules. Choose an ordinary or partitioned table of the application',
      rule, coalesce(on_table::text, 'null') using errcode = 'wrong_object_type';
  end if;
  if query is null then
    raise exception 'rule "%": the query is null', rule
      using errcode = 'null_value_not_allowed',
            hint = 'Write one SELECT from new_rows or old_rows.';
  end if;

  select string_agg(format('(null::%s).%I', on_table, attname), ', ' order by attnum) filter (where attgenerated <> 'v'),
         array_agg(attname) filter (where attgenerated = 'v')
    into visible, virtual
    from pg_attribute
   where attrelid = on_table and attnum > 0 and not attisdropped;
  probe := format(
    e'with new_rows as (select %1$s where false), old_rows as (select %1$s where false)\nselect * from (\n%2$s\n) as told',
    visible,
    query
  );
  begin
    grant create on schema bellwire to bellwire_rules;
    create function bellwire.look_at_query(probe text)
      returns void
      language plpgsql
      security definer
      set search_path = pg_catalog, pg_temp
      set row_security = off
    as $look$
    declare
      plan refcursor;
    begin
      -- A cursor accepts exactly one statement that returns rows, so two statements fail here. Opening it also
      -- checks names, types and rights.
      open plan for execute probe;
      close plan;
      -- A view accepts only a SELECT that modifies nothing, and shows the names and types of its columns.
      execute 'create view bellwire.rule_in_question as ' || probe;
    end;
    $look$;
    alter function bellwire.look_at_query(text) owner to bellwire_rules;
    perform bellwire.look_at_query(probe);
    returned := array(
      select attname from pg_attribute
       where attrelid = 'bellwire.rule_in_question'::regclass and attnum > 0 order by attnum
    );
    typed := array(
      select attname from pg_attribute
       where attrelid = 'bellwire.rule_in_question'::regclass
         and attnum > 0
         and atttypid in (
               select proargtypes[0] from pg_proc
                where proname = 'same_id' and pronamespace = 'bellwire'::regnamespace
             )
       order by attnum
    );
    -- Read from the stored query, because pg_depend lacks PostgreSQL's own functions and those behind operators.
    select p.oid::regprocedure::text into offender
      from pg_rewrite w
     cross join regexp_matches(w.ev_action::text, e':(?:op)?funcid (\\d+)', 'g') as called (ids)
      join pg_proc p on p.oid = called.ids[1]::oid
     where w.ev_class = 'bellwire.rule_in_question'::regclass
       and p.provolatile = 'v'
       and p.oid <> all (harmless)
     limit 1;
    if offender is not null then
      raise exception 'the query calls %, which is volatile and so may write', offender
        using errcode = 'invalid_object_definition',
              hint = 'Remove the call or, if the function only reads, declare it stable.';
    end if;
    select a.atttypid::regtype::text into offender
      from pg_attribute a
     where a.attrelid = 'bellwire.rule_in_question'::regclass
       and a.attname = 'data'
       and a.atttypid not in ('json'::regtype, 'jsonb'::regtype);
    if offender is not null then
      raise exception 'data must be json or jsonb, not %', offender
        using errcode = 'datatype_mismatch',
              hint = 'Return jsonb_build_object(''taskId'', ...), for example.';
    end if;
    if virtual is not null
       and exists (
             select
               from pg_rewrite w
              where w.ev_class = 'bellwire.rule_in_question'::regclass
                and w.ev_action::text ~ e'\\{VAR :varno \\d+ :varattno 0 :vartype 2249 '
           )
    then
      raise exception 'the query uses whole rows, in which % would be null', array_to_string(virtual, ', ')
        using errcode = 'feature_not_supported',
              hint = 'Name the columns. A virtual generated column has no value in new_rows: write its expression in the query, or make it stored.';
    end if;
    raise exception using errcode = 'BW000';  -- all is known: roll it back
  exception
    when sqlstate 'BW000' then
      null;
    when others then
      get stacked diagnostics message = message_text, hint = pg_exception_hint;
      denied := substring(message from '^permission denied for (?:table|view|materialized view|foreign table) (.*)$');
      hint := case
        when exists (select from unnest(virtual) v where strpos(message, v) > 0) then coalesce(
          nullif(hint, ''),
          'A virtual generated column has no value in new_rows: write its expression in the query, or make it stored.'
        )
        when sqlstate in ('42P11', '42601', '0A000') then
          'Write one SELECT without a semicolon, and nothing that modifies data.'
        when sqlstate = '42P01' then 'Write the schema before each table, as in public.tasks, but not before new_rows and old_rows.'
        when sqlstate = '42501'
             and exists (select from pg_class c where c.relrowsecurity and strpos(message, format('"%s"', c.relname)) > 0)
        then
          'Row level security would silently hide rows of this table. Let the rule read a view that belongs to the table''s owner, or let all rules see all rows, as a superuser: alter role bellwire_rules bypassrls;'
        when message ~ '^permission denied for schema ' then format(
          'Write into the rule''s file: grant usage on schema %s to bellwire_rules; A schema that is dropped and created again loses its grants.',
          quote_ident(substr(message, 30))
        )
        when denied is not null then format(
          'Write into the rule''s file: grant select on %s to bellwire_rules; Rules run as that role.',
          (select case count(*) when 1 then min(c.oid::regclass::text) else quote_ident(denied) end
             from pg_class c
            where c.relname = denied
              and c.relkind in ('r', 'p', 'v', 'm', 'f')
              and not has_table_privilege('bellwire_rules', c.oid, 'select'))
        )
        when sqlstate = '42501' then
          'Rules run as bellwire_rules. As the owner of the tables that the query reads, grant it select on them, and usage on their schemas.'
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

  if action = 'retract'
     and not (returned @> '{recipient_id,dedupe_key}' and returned <@ '{recipient_id,dedupe_key,type}')
     and not (returned @> '{recipient_id,type,data}' and returned <@ '{recipient_id,type,data}')
     or action = 'revoke' and returned <> '{recipient_id}'
  then
    raise exception 'rule "%": the query returns the wrong columns for %', rule, action
      using errcode = 'undefined_column',
            hint = format(
              'It returns %s. Return %s.',
              array_to_string(returned, ', '),
              case action when 'revoke' then 'recipient_id alone' else 'recipient_id and dedupe_key, optionally with type; or recipient_id, type and data' end
            );
  end if;
  select c into offender from unnest(returned) c where c <> all (known) limit 1;
  if offender is not null then
    raise exception 'rule "%": the query returns "%", which a notification does not have', rule, offender
      using errcode = 'undefined_column',
            hint = format('Return only columns of these names: %s.', array_to_string(known, ', '));
  end if;
  select c into offender from unnest(known[1:2]) c where action = 'notify' and c <> all (returned) limit 1;
  if offender is not null then
    raise exception 'rule "%": the query does not return "%"', rule, offender
      using errcode = 'undefined_column',
            hint = format('It returns %s. Return recipient_id and type, and any of %s.',
                          array_to_string(returned, ', '), array_to_string(known[3:], ', '));
  end if;
  columns := array(select c from unnest(known) c where c = any (returned));
end;
$$;

comment on function bellwire.check_rule_query(text, regclass, text, text, text) is
  'Internal. Refuses a rule that could not work; returns the columns of its query.';

revoke all on function bellwire.check_rule_query(text, regclass, text, text, text) from public;
