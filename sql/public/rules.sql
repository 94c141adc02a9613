-- The installed rules, one per row, with their errors.
--
-- `enabled` is false if the table, the trigger or the function no longer exists, or if the trigger is disabled (for `insert or
-- update`, either of the two).
--
-- Rights   bellwire_service
-- Remove   with the schema
create or replace view bellwire.rules as
select d.name,
       case
         when exists (select from pg_catalog.pg_class c where c.oid = d.on_table) then d.on_table::text
         else pg_catalog.format('%I.%I', d.table_schema, d.table_name)
       end              as "table",
       d.on_event       as event,
       d.query,
       d.on_error,
       (
         select count(*)
           from pg_catalog.pg_trigger t
          where t.tgrelid = d.on_table
            and t.tgfoid = pg_catalog.to_regprocedure(d.function)
            and t.tgenabled in ('O', 'A')
       ) = case d.on_event when 'insert or update' then 2 else 1 end as enabled,
       coalesce(e.errors, 0) as errors,
       e.last_error,
       e.last_error_at,
       d.action
  from bellwire.rule_definitions d
  left join lateral (
         select sum(f.errors)::bigint as errors,
                max(f.last_at)        as last_error_at,
                (array_agg(f.sqlstate || ' ' || f.message order by f.last_at desc))[1] as last_error
           from bellwire.rule_error_log f
          where f.rule = d.name
       ) e on true
 order by d.name;

comment on view bellwire.rules is
  'The rules that are installed: name, table, event, query, and how they fare. bellwire.define_rule() and bellwire.drop_rule() change them.';

grant select on bellwire.rules to bellwire_service;
