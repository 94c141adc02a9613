-- Which rules may have written a notification: those that return it for a row which the notification's transaction wrote. Nothing stores
-- this, so a row that was changed since, deleted, or written after a savepoint is not found.
--
-- A transaction id is in no index. So it reads up to 256 MB at the end of each table with a rule, where new rows are most often. The
-- partitions of a table share the 256 MB.
--
-- Rights   called by bellwire.explain()
-- Remove   with the schema
-- requires: ask_rule.sql
create or replace function bellwire.explain_writers(n bellwire.notifications)
  returns table (rule text, told text, reason text)
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set row_security = off
as $$
#variable_conflict use_column
declare
  blocks     constant bigint := 256 * 1024 * 1024 / current_setting('block_size')::bigint;
  definition bellwire.rule_definitions;
  newest     text;  -- reads the end of the table, or of each of its partitions
  candidate  record;
  event      text;
  answer     jsonb;
  line       text;
  reworded   text[];  -- lines for rows that are told of in other words
  is_exact   boolean;
  is_found   boolean;  -- one that is told of in the same words
  time_out   constant interval := current_setting('statement_timeout')::interval;
begin
  for definition in
    select d.*
      from bellwire.rule_definitions d
      join pg_class c on c.oid = d.on_table
     where d.action = 'notify'
     order by d.name
  loop
    select string_agg(
             format(
               'select t.ctid as place, t.tableoid as partition from %s t where t.xmin = $1 and t.ctid >= %L',
               s.part, format('(%s,0)', greatest(s.size - blocks / s.parts, 0))
             ),
             ' union all '
           )
      into newest
      from (
             select p.part, pg_relation_size(p.part) / current_setting('block_size')::bigint as size, count(*) over () as parts
               from (
                      select c.oid::regclass as part from pg_class c where c.oid = definition.on_table and c.relkind = 'r'
                       union all
                      select i.relid from pg_partition_tree(definition.on_table) i where i.isleaf and i.level > 0
                    ) as p
           ) as s;
    continue when newest is null;  -- no partitions
    reworded := '{}';
    is_found := false;
    begin
      for candidate in
        execute newest || ' limit 1000' using n.created_xid::xid
      loop
        foreach event in array string_to_array(definition.on_event, ' or ') loop
          continue when event = 'delete';
          answer := bellwire.ask_rule(definition.query, definition.on_table, event, candidate.place, candidate.partition, n.recipient_id);
          select format('On %s of row %s of %s, which that transaction wrote, its query returns this recipient and type',
                        event, coalesce(answer ->> 'key', candidate.place::text), candidate.partition::regclass),
                 coalesce(w.data::jsonb, '{}') = n.data
            into line, is_exact
            from jsonb_populate_recordset(null::bellwire.told, answer -> 'told') as w
           where w.type = n.type
             and w.dedupe_key is not distinct from n.dedupe_key
             and w.link is not distinct from n.link
           order by coalesce(w.data::jsonb, '{}') = n.data desc nulls last
           limit 1;
          if is_exact then
            is_found := true;
            return query select definition.name, 'yes', line || '.';
          elsif line is not null then
            reworded := reworded || line;
          end if;
        end loop;
      end loop;
      if not is_found then
        return query
          select definition.name, 'yes',
                 reworded[1] || ', with other data' || case cardinality(reworded) when 1 then '.' else format('; so of %s more rows.', cardinality(reworded) - 1) end
           where reworded <> '{}';
      end if;
    exception
      when query_canceled then
        if time_out = interval '0' or clock_timestamp() < statement_timestamp() + time_out then
          raise;
        end if;
        return query select definition.name, 'unknown', format('Its table %s was not searched within the statement_timeout.', definition.on_table);
      when others then
        return query select definition.name, 'unknown', format('Its table %s could not be searched: %s.', definition.on_table, sqlerrm);
    end;
  end loop;
end;
$$;

comment on function bellwire.explain_writers(bellwire.notifications) is
  'Internal. Which rules may have written a notification.';

revoke all on function bellwire.explain_writers(bellwire.notifications) from public;
