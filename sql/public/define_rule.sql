-- Installs or replaces a rule: who is notified of what when rows of a table are inserted, updated or deleted.
--
--   select bellwire.define_rule('answer_received', 'public.answers', 'insert', $$
--     select q.author_id as recipient_id, 'answer.received' as type, a.body as title
--       from new_rows a
--       join public.questions q on q.id = a.question_id
--   $$);
--
--   name      any name of 1 to 63 bytes; the trigger and its function are called rule_<name>
--   on_table  an ordinary or partitioned table
--   on_event  insert, update, delete, or insert or update. The last makes two triggers, because PostgreSQL gives the rows of a
--             statement only to a trigger for one event
--   query     one SELECT from new_rows and old_rows (empty if the event has none) that returns, by name, recipient_id and type,
--             and any of actor_id, title, body, link, data, dedupe_key. Other tables are named with their schema. The rule runs as
--             bellwire_rules, which needs SELECT on them
--   on_error  record: a failure is written to bellwire.rule_errors, and the application's write continues;
--             raise: the write fails, and a statement costs no subtransaction
--   action    notify: writes notifications
--             retract: archives notifications. The query returns recipient_id and dedupe_key (with a type, or for all types), or
--             recipient_id, type and data (each notification whose data contains it)
--             revoke: ends the streams of each recipient_id, as bellwire.revoke() does
--
-- Nothing is installed unless the query is one SELECT that fits the table. Defining the same rule again changes nothing, or mends it: a
-- table that was dropped and created again gets its trigger. A trigger that somebody has disabled stays disabled, with a warning. A rule
-- is a statement trigger with transition tables: it fires once per statement, however many rows that writes.
--
-- Locks    share row exclusive on the table while the trigger is created (access exclusive if the rule moves to another table or
--          event); none if only the query changed; bellwire.lock_rules()
-- Rights   a role that may create triggers on the table and is a member of bellwire_owner
-- Remove   select bellwire.drop_rule('answer_received');
create or replace function bellwire.define_rule(
  name     text,
  on_table regclass,
  on_event text,
  query    text,
  on_error text default 'record',
  action   text default 'notify'
)
  returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $define$
declare
  rule_name    constant text := define_rule.name;
  object_name  text;
  body         text;
  installed    bellwire.rule_definitions;
  watched      record;   -- the table's name, and whether it is a partition
  has_trigger  boolean;
  enabling     text;     -- what would enable its triggers, if one is disabled
  event        text;
  insert_name  text;  -- of the second trigger, if there are two
  trigger_name text;
  limitation   text;
begin
  if on_event is null or on_event not in ('insert', 'update', 'delete', 'insert or update') then
    raise exception 'rule "%": on_event must be ''insert'', ''update'', ''delete'' or ''insert or update'', not %',
      rule_name, coalesce(quote_literal(on_event), 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if action is null or action not in ('notify', 'retract', 'revoke') then
    raise exception 'rule "%": action must be ''notify'', ''retract'' or ''revoke'', not %', rule_name, coalesce(quote_literal(action), 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if on_error is null or on_error not in ('record', 'raise') then
    raise exception 'rule "%": on_error must be ''record'' or ''raise'', not %', rule_name, coalesce(quote_literal(on_error), 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if not pg_has_role('bellwire_owner', 'usage') then
    raise exception 'rule "%": only a member of bellwire_owner may define rules', rule_name
      using errcode = 'insufficient_privilege',
            hint = 'As a superuser, or as the role that created bellwire_owner: ' || format(
              case
                when current_setting('server_version_num')::int >= 160000 then 'grant bellwire_owner to %I with inherit true;'
                when pg_has_role('bellwire_owner', 'member') then 'alter role %I inherit;'
                else 'grant bellwire_owner to %I;'
              end,
              current_user
            );
  end if;

  object_name := bellwire.rule_object_name(rule_name);
  perform bellwire.lock_rules(rule_name);
  select bellwire.rule_body(rule_name, query, checked.columns, checked.typed, on_error, on_event, action)
    into body
    from bellwire.check_rule_query(rule_name, on_table, on_event, query, action) as checked;

  select d.* into installed from bellwire.rule_definitions d where d.name = rule_name;
  select n.nspname, c.relname, c.relispartition
    into watched
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
   where c.oid = define_rule.on_table;
  select coalesce(
           installed.on_table = define_rule.on_table
             and installed.on_event = define_rule.on_event
             and count(*) = cardinality(string_to_array(define_rule.on_event, ' or ')),
           false
         ),
         string_agg(format('alter table %s enable trigger %I;', on_table, t.tgname), ' ') filter (where t.tgenabled in ('D', 'R'))
    into has_trigger, enabling
    from pg_trigger t
   where t.tgrelid = installed.on_table
     and t.tgfoid = to_regprocedure(installed.function);
  if enabling is not null then
    raise warning 'rule "%" is disabled and stays disabled', rule_name using hint = 'To enable it: ' || enabling;
  end if;
  if has_trigger
     and installed.query = define_rule.query
     and installed.on_error = define_rule.on_error
     and installed.action = define_rule.action
     and exists (
           select
             from pg_proc p
            where p.oid = to_regprocedure(installed.function)
              and p.prosrc = body
              and p.prosecdef
              and p.proowner = 'bellwire_rules'::regrole
         )
  then
    -- The table may have been renamed since.
    update bellwire.rule_definitions d
       set table_schema = watched.nspname, table_name = watched.relname
     where d.name = rule_name
       and (d.table_schema, d.table_name) <> (watched.nspname, watched.relname);
    return;
  end if;
  if installed.name is not null and not has_trigger then
    perform bellwire.drop_rule(rule_name);
  end if;

  perform bellwire.write_rule_function(format('bellwire.%I()', object_name), body);
  execute format(
    'comment on function bellwire.%I() is %L',
    object_name,
    format('Rule "%s" on %s. Remove: select bellwire.drop_rule(%L);', rule_name, on_table, rule_name)
  );
  if not has_trigger then
    -- A name that no other rule's trigger can have.
    insert_name := case
      when octet_length(object_name) <= 56 then 'insert_' || object_name
      else 'insert_rule_' || md5(rule_name)
    end;
    foreach event in array string_to_array(define_rule.on_event, ' or ') loop
      trigger_name := case when event = 'insert' and event <> define_rule.on_event then insert_name else object_name end;
      execute format(
        'create trigger %I after %s on %s referencing %s for each statement execute function bellwire.%I()',
        trigger_name, event, on_table,
        case event
          when 'insert' then 'new table as new_rows'
          when 'update' then 'old table as old_rows new table as new_rows'
          else 'old table as old_rows'
        end,
        object_name
      );
      if enabling is not null then
        execute format('alter table %s disable trigger %I', on_table, trigger_name);
      end if;
    end loop;
  end if;
  for limitation in select bellwire.rule_limits(define_rule.on_table) loop
    raise notice 'rule "%" %', rule_name, limitation;
  end loop;
  insert into bellwire.rule_definitions as d
         (name, on_table, table_schema, table_name, is_partition, on_event, query, on_error, action, trigger_name, function, checksum)
  values (rule_name, define_rule.on_table, watched.nspname, watched.relname, watched.relispartition, define_rule.on_event,
          define_rule.query, define_rule.on_error, define_rule.action, object_name, format('bellwire.%I()', object_name), md5(body))
      on conflict on constraint rule_definitions_pkey
         do update
        set table_schema = excluded.table_schema,
            table_name = excluded.table_name,
            is_partition = excluded.is_partition,
            query = excluded.query,
            on_error = excluded.on_error,
            action = excluded.action,
            checksum = excluded.checksum,
            defined_at = excluded.defined_at,
            defined_xid = excluded.defined_xid,
            defined_by = excluded.defined_by;
end;
$define$;

comment on function bellwire.define_rule(text, regclass, text, text, text, text) is
  'Installs or replaces a rule: one SELECT from new_rows and old_rows that says who is notified, what is archived, or whose access is revoked.';

revoke all on function bellwire.define_rule(text, regclass, text, text, text, text) from public;
