-- The text of a statement that runs a rule's query again and returns its rows as an array. If the insert of the query's rows has
-- failed, the rule runs this statement, to find out whether the query fails or one of the rows cannot be written. It runs inside the
-- rule's trigger, because new_rows and old_rows exist only there.
--
-- Rights   called by rules, as bellwire_rules
-- Remove   with the schema
-- requires: rule_source.sql
create or replace function bellwire.rule_answer(rule text, columns text[], event text)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select format(
           e'select array(\nselect row(%s)::bellwire.told from (\n%s\n) as told where told.recipient_id is not null%s)',
           (
             select string_agg(
                      case
                        when a.attname <> all (columns) then 'null'
                        when a.attname in ('recipient_id', 'actor_id') then format('bellwire.same_id(told.%I::text)', a.attname)
                        else format('told.%I::text', a.attname)
                      end,
                      ', ' order by a.attnum
                    )
               from pg_attribute a
              where a.attrelid = 'bellwire.told'::regclass
           ),
           bellwire.rule_source(d.query, event),
           case when 'dedupe_key' = any (columns) then ' order by bellwire.same_id(told.recipient_id::text) collate "C", told.dedupe_key::text collate "C", told.type::text collate "C"' end
         )
    from bellwire.rule_definitions d
   where d.name = rule;
$$;

comment on function bellwire.rule_answer(text, text[], text) is
  'Internal. A statement that runs a rule''s query again on its own, to find the rows that cannot be written.';

revoke all on function bellwire.rule_answer(text, text[], text) from public;
grant execute on function bellwire.rule_answer(text, text[], text) to bellwire_rules;
