-- What a rule does with one row of its table for one recipient, and why: first a line or more for each of its events, then what is known of
-- the time when the row was written.
--
-- Rights   called by bellwire.explain()
-- Remove   with the schema
-- requires: explain_event.sql
-- requires: rule_faults.sql
create or replace function bellwire.explain_rule(
  definition bellwire.rule_definitions,
  place      tid,
  partition  oid,
  written_by xid8,
  key        text,
  recipient  text
)
  returns table (told text, reason text)
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  event    text;
  line     record;
  is_told  boolean := false;
  would    boolean := false;
  is_known boolean := false;  -- why there is no notification
begin
  foreach event in array string_to_array(definition.on_event, ' or ') loop
    for line in
      select * from bellwire.explain_event(definition, event, explain_rule.place, explain_rule.partition, written_by, recipient)
    loop
      is_told := is_told or coalesce(line.told = 'yes', false);
      would := would or line.would;
      return query select line.told, line.reason;
    end loop;
  end loop;

  return query select null::text, format('Now %s.', f.seen) from bellwire.rule_faults f where f.rule = definition.name;
  is_known := found;
  if explain_rule.partition <> definition.on_table then
    return query
      select null::text,
             format('It runs only for statements that name %s, not for those that name %s.', definition.on_table, explain_rule.partition::regclass);
  end if;
  if is_told then
    return;
  end if;

  return query
    select null::text,
           format(
             'It has failed with this row: %s %s (%s times in all from %s to %s).',
             e.sqlstate, e.message, e.errors, e.first_at::timestamptz(0), e.last_at::timestamptz(0)
           )
      from bellwire.rule_error_log e
     where e.rule = definition.name
       and e.keys @> array[left(explain_rule.key, 100)]
     order by e.last_at;
  is_known := is_known or found;
  if definition.defined_xid > written_by and definition.defined_xid < pg_snapshot_xmax(pg_current_snapshot()) then
    is_known := true;
    return query
      select null::text,
             format('It was defined, or changed last, at %s, after the transaction that wrote the row had begun.', definition.defined_at::timestamptz(0));
  end if;
  if would and not is_known then
    return query
      select null::text,
             format(
               'It has failed %s times from %s to %s, maybe with this row: %s %s.',
               e.errors, e.first_at::timestamptz(0), e.last_at::timestamptz(0), e.sqlstate, e.message
             )
        from bellwire.rule_errors e
       where e.rule = definition.name
       order by e.last_at;
    return query
      select null::text,
             format(
               '%s notifications of %s were deleted or given away, the last at %s. Nothing stores whether this was one.',
               count(*), recipient, max(r.removed_at)::timestamptz(0)
             )
        from bellwire.removals r
       where r.recipient_id = recipient
      having count(*) > 0;
    return query
      select 'unknown',
             'Nothing stores why: the row or others that the query reads may have changed since, or the trigger did not fire (disabled then, replication, restore).';
  end if;
end;
$$;

comment on function bellwire.explain_rule(bellwire.rule_definitions, tid, oid, xid8, text, text) is
  'Internal. What a rule does with one row of its table for one recipient, and why.';

revoke all on function bellwire.explain_rule(bellwire.rule_definitions, tid, oid, xid8, text, text) from public;
