-- The text of a rule's trigger function, as `\sf` shows it to a DBA.
--
-- The conditions for a row are here and in bellwire.is_wanted(). A rule does not call that function, because PostgreSQL before 18
-- plans an SQL function that is not inlined at each call, and this one needs a single index probe.
--
-- Rights   called by bellwire.define_rule(), and by renew_rules.sql
-- Remove   with the schema
-- requires: row_key.sql
-- requires: rule_object_name.sql
-- requires: rule_retraction.sql
-- requires: rule_source.sql
-- requires: same_id.sql
create or replace function bellwire.rule_body(
  rule     text,
  query    text,
  columns  text[],
  typed    text[],
  on_error text,
  on_event text,
  action   text
)
  returns text
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $body$
declare
  some_rows constant text := case on_event when 'delete' then 'old_rows' else 'new_rows' end;
  statement text;  -- what the action does with the query's rows; for notify it sets FOUND
  handler   text := '';
  which     constant text := format(
$which$      -- Which rows? A table without a primary key cannot say.
      begin
        execute format('select array(select left(%%s, 100) from %1$s r limit 20)', bellwire.row_key(tg_relid)) into keys;
      exception
        when others or assert_failure then
          null;
      end;
$which$, some_rows);
begin
  statement := case action
    when 'retract' then bellwire.rule_retraction(columns)
    when 'revoke' then
$revoke$  perform bellwire.revoke(told.recipient_id)
     -- Always in the same order, or two statements could deadlock.
     from (
            select distinct told.recipient_id::text collate "C" as recipient_id
              from (
%s
                   ) as told
             where told.recipient_id is not null
             order by 1
          ) as told;
$revoke$
    else format(
$notify$  insert into bellwire.notifications (%1$s)
  select %2$s
    from (
           -- With "offset 0" PostgreSQL does not repeat the query's expressions wherever they are used. Starting a statement costs time
           -- for each function in it, and a statement of one row spends more on that than on its rows.
           select %3$s
             from (
%%s
                  ) as told
           offset 0
         ) as told
   where told.recipient_id is not null
%4$s     -- Muted? A subquery, because a session that began with a bulk insert might scan the table of a join from then on.
     and (
           select told.type = any (p.muted_types)
             from bellwire.preferences p
            where p.recipient_id = told.recipient_id
         ) is not true%5$s;
$notify$,
      array_to_string(columns, ', '),
      (select string_agg('told.' || c, ', ' order by position) from unnest(columns) with ordinality as listed (c, position)),
      (
        select string_agg(
                 case
                   when c = 'data' then 'coalesce(told.data::jsonb, ''{}'') as data'
                   when c not in ('recipient_id', 'actor_id') then format('told.%1$s::text as %1$s', c)
                   when c = any (typed) then format('bellwire.same_id(told.%1$s) as %1$s', c)
                   else format('bellwire.same_id(told.%1$s::text) as %1$s', c)
                 end,
                 e',\n                  ' order by position
               )
          from unnest(columns) with ordinality as listed (c, position)
      ),
      case
        when 'actor_id' = any (columns) then e'     and told.recipient_id is distinct from told.actor_id\n'
      end,
      -- Without a key no row can conflict, and "on conflict" would cost a lock and a WAL record per row. With keys, two
      -- statements that wrote them in different orders could deadlock.
      case
        when 'dedupe_key' = any (columns) then $keys$
   order by told.recipient_id collate "C", told.dedupe_key collate "C", told.type collate "C"
      on conflict (recipient_id, dedupe_key, type) where dedupe_key is not null
         do nothing$keys$
      end
    )
  end;
  statement := case
    -- The two triggers share this function. The insert's has new_rows only.
    when on_event = 'insert or update' and bellwire.rule_source(query, 'insert') <> query then
      format(
        e'  if tg_op = ''INSERT'' then\n%s  else\n%s  end if;\n',
        format(statement, bellwire.rule_source(query, 'insert')),
        format(statement, query)
      )
    else format(statement, bellwire.rule_source(query, on_event))
  end;

  if on_error = 'record' and action = 'notify' then
    handler := format(
$handler$exception
  -- "others" does not include a cancellation: the application sees it.
  when others or assert_failure then
    declare
      keys text[];
    begin
%4$s      if sqlstate in ('40P01', '55P03', '09000') then
        -- A deadlock or a lock time-out is about a key, because the query locks nothing, and would happen again. So would
        -- the error for a rule that fires itself.
        raise;
      end if;
      -- Did the query fail, or can one of its rows not be written? Run it alone, and write the rows that can be written.
      execute bellwire.rule_answer(%1$L, %2$L, lower(tg_op)) into answer;
      if bellwire.insert_valid_rows(%1$L, answer, keys) then
        perform bellwire.wake_listeners();
      end if;
    exception
      -- This one is of the query: the application has to see it, to retry its transaction.
      when serialization_failure then
        raise;
      when others or assert_failure then
        perform bellwire.record_rule_error(%1$L, sqlstate, sqlerrm, (select count(*) from %3$s), keys);
    end;
    if many then
      discard plans;
    end if;
    return null;
$handler$, rule, columns, some_rows, which);
  elsif on_error = 'record' then
    handler := format(
$handler$exception
  -- "others" does not include a cancellation: the application sees it.
  when others or assert_failure then
    get stacked diagnostics reason = pg_exception_detail;
    -- With a reason it is of the query: the application has to see it, to retry its transaction. Without one it is about a
    -- row of schema bellwire that another session has changed since this transaction's snapshot.
    if sqlstate = '40001' and reason <> '' then
      raise;
    end if;
    declare
      keys text[];
    begin
%3$s      perform bellwire.record_rule_error(%1$L, sqlstate, sqlerrm, (select count(*) from %2$s), keys);
    end;
    if many then
      discard plans;
    end if;
    return null;
$handler$, rule, some_rows, which);
  end if;

  return format(
$template$
-- Generated by bellwire.define_rule(). To change it, define the rule again.
#variable_conflict use_column
declare
  many boolean;
%6$s  callers text;
begin
  -- The function was altered. Code that the query calls must not run with the rights of the role that writes to the table. The operator is
  -- qualified, because the function's search_path may have been altered too.
  if current_user operator(pg_catalog.<>) 'bellwire_rules'::pg_catalog.name then
    raise warning 'bellwire: rule %% is not run, because its function does not run as bellwire_rules; define it again', %3$L;
    return null;
  end if;
  -- Does it run inside its own query, because the query calls code that writes? Checked only in nested triggers.
  if pg_trigger_depth() > 2 then
    get diagnostics callers = pg_context;
    if split_part(callers, %4$L, 3) <> '' then
      raise exception 'the rule''s query fires the rule again'
        using errcode = 'triggered_action_exception';
    end if;
  end if;
  -- plpgsql caches the first plan. A plan made for one row is quadratic for thousands; one made for thousands may scan a
  -- table for a single row. Statements of more than 100 rows therefore discard cached plans before and after.
  perform from %5$s limit 1 offset 100;
  many := found;
  if many then
    discard plans;
  end if;
%1$s%7$s  if many then
    discard plans;
  end if;
  return null;
%2$send;
$template$,
    statement,
    handler,
    rule,
    format('bellwire.%I()', bellwire.rule_object_name(rule)),
    some_rows,
    case
      when action = 'notify' then e'  answer bellwire.told[];\n'
      when on_error = 'record' then e'  reason text;\n'
    end,
    case action
      when 'notify' then
$wake$  -- An expression, because a query ("perform") would cost a twentieth of the insert.
  if found and bellwire.wake_listeners() is null then
    null;
  end if;
$wake$
    end
  );
end;
$body$;

comment on function bellwire.rule_body(text, text, text[], text[], text, text, text) is
  'Internal. The text of a rule''s trigger function.';

revoke all on function bellwire.rule_body(text, text, text[], text[], text, text, text) from public;
