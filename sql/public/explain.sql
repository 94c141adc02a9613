-- Why somebody was told or not, one line a reason: the rule, whether it told (yes, no, unknown), and why.
--
--   select * from bellwire.explain('public.messages', '17', '42');   -- message 17 and recipient 42
--   select * from bellwire.explain(1234);                           -- notification 1234
--
--   on_table, key   a row of the application: the value of its primary key, or a text of the form (1,2) for several columns
--   recipient_id    who was told or not
--
-- For a row it runs the query of each rule on the table on that row as it is now, with the rights of bellwire_rules, and rolls back
-- whatever that did. It writes nothing, so it also works in a read-only transaction and on a standby. It cannot know what nothing
-- stores, and says so: the old row of an update, tables as they were when the row was written, a trigger that was disabled then.
--
-- Cost     each rule's query once or twice for one row. For a notification it also reads up to 256 MB at the end of each table with a
--          rule, where it looks for the rows of the notification's transaction. statement_timeout ends one query, not the others
-- Rights   members of bellwire_owner who may read the table
-- Remove   with the schema
-- requires: explain_rule.sql
-- requires: explain_writers.sql
-- requires: rules.sql
create or replace function bellwire.explain(on_table regclass, key text, recipient_id text)
  returns table (rule text, told text, reason text)
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  recipient  constant text := bellwire.same_id(nullif(explain.recipient_id, ''));
  found_row  record;
  writer     xid8;
  definition bellwire.rule_definitions;
begin
  if recipient is null then
    raise exception 'name a table, the key of one of its rows, and a recipient' using errcode = 'null_value_not_allowed';
  end if;
  select f.* into found_row from bellwire.find_row(explain.on_table, explain.key) f;
  writer := bellwire.whole_xid(found_row.written_by);
  return query
    select null::text, null::text,
           format('Row %s of %s was last written by transaction %s', found_row.exact_key, explain.on_table, writer)
           || coalesce(
                ', which committed at ' || bellwire.committed_at(found_row.written_by)::timestamptz(0) || '.',
                format('. Nothing stores when (track_commit_timestamp is %s).', current_setting('track_commit_timestamp'))
              );
  for definition in
    with recursive tables (oid) as (
      select unnest(array[explain.on_table, found_row.partition])
       union
      select i.inhparent from pg_inherits i join tables t on i.inhrelid = t.oid
    )
    select d.* from bellwire.rule_definitions d where d.on_table in (select t.oid from tables t) order by d.name
  loop
    return query
      select definition.name, e.told, e.reason
        from bellwire.explain_rule(definition, found_row.place, found_row.partition, writer, found_row.exact_key, recipient) e;
  end loop;
  return query
    select f.rule, 'no', format('It does not run: %s.', f.seen)
      from bellwire.rule_faults f
      join bellwire.rule_definitions d on d.name = f.rule
      join pg_class c on c.oid = explain.on_table
     where d.on_table <> c.oid
       and d.table_name = c.relname
       and d.table_schema = (select n.nspname from pg_namespace n where n.oid = c.relnamespace)
     order by f.rule;
  if definition.name is null and not found then
    return query
      select null::text, 'no',
             format('There is no rule on %s.', explain.on_table)
             || coalesce(
                  (select ' There are rules on ' || string_agg(distinct r."table", ', ') || '.' from bellwire.rules r),
                  ' There are no rules at all.'
                );
  end if;
end;
$$;

comment on function bellwire.explain(regclass, text, text) is
  'Why a recipient was told of a row of the application, or not: the rules on its table, one line a reason.';

revoke all on function bellwire.explain(regclass, text, text) from public;

create or replace function bellwire.explain(notification bigint)
  returns table (rule text, told text, reason text)
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  n       bellwire.notifications;
  removed bellwire.removals;
begin
  select m.* into n from bellwire.notifications m where m.id = explain.notification;
  select r.* into removed from bellwire.removals r where r.notification_id = explain.notification order by r.removed_at desc limit 1;
  if n.id is null and removed.recipient_id is null then
    raise exception 'there is no notification %', explain.notification
      using errcode = 'no_data_found',
            hint = (
              select 'Nothing stores what was pruned long ago, or was rolled back. '
                     || coalesce('The notifications are ' || min(m.id) || ' to ' || max(m.id) || '.', 'There are none.')
                from bellwire.notifications m
            );
  end if;
  if n.id is null then
    return query
      select null::text, 'yes',
             format('Notification %s of %s was deleted or pruned at %s by transaction %s. Nothing stores what it said.',
                    explain.notification, removed.recipient_id, removed.removed_at::timestamptz(0), removed.removed_xid);
    return;
  end if;
  return query
    select null::text, 'yes',
           format('Notification %s told %s of %s. It was written at %s by transaction %s: %s.',
                  n.id, n.recipient_id, n.type, n.created_at::timestamptz(0), n.created_xid, bellwire.state_of(n));
  return query
    select null::text, null::text,
           format('Its actor is %s. Its dedupe_key is %s. Its data is %s.',
                  coalesce(n.actor_id, 'not known'), coalesce(quote_literal(n.dedupe_key), 'null'), left(n.data::text, 200));
  return query
    select null::text, null::text,
           format('It was given to %s by %s, at %s.', n.recipient_id, removed.recipient_id, removed.removed_at::timestamptz(0))
     where removed.recipient_id is not null;
  return query select w.* from bellwire.explain_writers(n) w;
  if not found then
    return query
      select null::text, 'unknown',
             'Nothing stores which rule wrote it, and no row of a table with a rule is found that shows it: the row was changed since or deleted, or the writer was bellwire.notify().';
  end if;
end;
$$;

comment on function bellwire.explain(bigint) is
  'Why a notification exists: when it was written, by which transaction and rule, and what became of it, one line a reason.';

revoke all on function bellwire.explain(bigint) from public;
