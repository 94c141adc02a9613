-- Installed rules that do not fire where they should, one per row: a stable code, and what was seen.
--
--   table_dropped     there is no table of this name any more
--   table_recreated   the table was dropped, and there is another of this name: after `prisma migrate reset`, for example
--   table_swapped     the table has another name now, and another table has its name. A trigger follows the table that it is on
--   trigger_missing   the trigger was dropped, or one of the two of `insert or update`
--   trigger_disabled  so that it fires for nobody, or only in replication sessions
--   function_edited   the trigger's function is not the one that bellwire.define_rule() wrote
--   function_owner    the function does not run as bellwire_rules, so it does nothing but warn
--   table_attached    the table became a partition after the rule was defined
--
-- Triggers of partitions do not matter: a statement that names the partitioned table fires only the statement triggers of that table.
--
-- Cost     a few index lookups in catalogs for each rule; the service reads it once a minute
-- Rights   bellwire_service; also read by the commands status, doctor and rules
-- Remove   with the schema
create or replace view bellwire.rule_faults as
select f.rule,
       f.code,
       pg_catalog.format(
         case f.code
           when 'table_dropped' then 'its table %1$s was dropped'
           when 'table_recreated' then 'its table %1$s was dropped and created again, without the trigger'
           when 'table_swapped' then 'its trigger is on %2$s, and another table is called %1$s now'
           when 'trigger_missing' then 'its trigger on %2$s was dropped'
           when 'trigger_disabled' then 'its trigger on %2$s is disabled'
           when 'function_edited' then 'its function %3$s was edited'
           when 'function_owner' then 'its function %3$s belongs to another role than bellwire_rules'
           when 'table_attached' then 'its table %2$s became a partition, and a statement that names the whole table does not fire it'
         end,
         f.named, f.watched, f.function
       ) as seen
  from (
         select d.name as rule,
                d.function,
                pg_catalog.format('%I.%I', d.table_schema, d.table_name) as named,
                pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as watched,
                case
                  when c.oid is null and namesake.oid is null then 'table_dropped'
                  when c.oid is null then 'table_recreated'
                  when namesake.oid <> c.oid then 'table_swapped'
                  when t.present < case d.on_event when 'insert or update' then 2 else 1 end then 'trigger_missing'
                  when t.disabled > 0 then 'trigger_disabled'
                  when pg_catalog.md5(p.prosrc) <> d.checksum or not p.prosecdef then 'function_edited'
                  when p.proowner <> pg_catalog.to_regrole('bellwire_rules') then 'function_owner'
                  when c.relispartition and not d.is_partition then 'table_attached'
                end as code
           from bellwire.rule_definitions d
           left join pg_catalog.pg_class c on c.oid = d.on_table
           left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           -- By name, because to_regclass() is an error in a schema that the caller may not use.
           left join pg_catalog.pg_namespace s on s.nspname = d.table_schema
           left join pg_catalog.pg_class namesake
             on namesake.relnamespace = s.oid
            and namesake.relname = d.table_name
            and namesake.relkind in ('r', 'p')
           left join pg_catalog.pg_proc p on p.oid = pg_catalog.to_regprocedure(d.function)
          cross join lateral (
                  select count(*) as present,
                         count(*) filter (where tgenabled in ('D', 'R')) as disabled
                    from pg_catalog.pg_trigger
                   where tgrelid = d.on_table
                     and tgfoid = p.oid
                ) t
       ) f
 where f.code is not null
 order by f.rule;

comment on view bellwire.rule_faults is
  'Internal. Installed rules that do not fire where they should: a code, and what was seen.';

grant select on bellwire.rule_faults to bellwire_service;
