-- Which writes to a table do not fire a rule on it, one per row, and what to do about each. A statement trigger fires only for
-- statements that name its own table.
--
-- Rights   called by bellwire.define_rule(), and by the command status
-- Remove   with the schema
create or replace function bellwire.rule_limits(on_table regclass)
  returns setof text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select format(
           case
             when c.relispartition then 'does not fire for statements that name %2$s, of which %1$s is a partition. Define another rule on %2$s'
             else 'does not fire for statements that name %2$s, from which %1$s inherits. Define another rule on %2$s'
           end,
           i.inhrelid::regclass, i.inhparent::regclass
         )
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
   where i.inhrelid = rule_limits.on_table
   union all
  select format(
           'does not fire for statements that name a table that inherits from %s. Define another rule on each that is written directly: %s',
           rule_limits.on_table, string_agg(i.inhrelid::regclass::text, ', ' order by i.inhrelid::regclass::text)
         )
    from pg_inherits i
    join pg_class c on c.oid = i.inhparent
   where i.inhparent = rule_limits.on_table
     and c.relkind = 'r'
  having count(*) > 0
   union all
  select format(
           'does not fire for statements that name a partition of %1$s. Define another rule on each partition that is written directly. '
           'Do not move rows between partitions by MERGE: an update rule gets none of them, and an insert rule may get them as new',
           c.oid::regclass
         )
    from pg_class c
   where c.oid = rule_limits.on_table
     and c.relkind = 'p';
$$;

comment on function bellwire.rule_limits(regclass) is
  'Internal. Which writes to a table do not fire a rule on it.';

revoke all on function bellwire.rule_limits(regclass) from public;
