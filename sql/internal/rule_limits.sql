-- Which writes to a table a rule on it does not see, one per row. A statement trigger belongs to the table that the statement names.
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
             when c.relispartition then 'fires for statements that name %1$s, and never for those on %2$s, whose partition it is'
             else 'fires for statements that name %1$s, and never for those on %2$s, which it inherits from'
           end,
           i.inhrelid::regclass, i.inhparent::regclass
         )
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
   where i.inhrelid = rule_limits.on_table
   union all
  select format(
           'never fires for statements that name one of the tables that inherit from %s: %s',
           rule_limits.on_table, string_agg(i.inhrelid::regclass::text, ', ' order by i.inhrelid::regclass::text)
         )
    from pg_inherits i
    join pg_class c on c.oid = i.inhparent
   where i.inhparent = rule_limits.on_table
     and c.relkind = 'r'
  having count(*) > 0
   union all
  select format(
           'never fires for statements that name a partition of %1$s; and a MERGE that moves rows between partitions shows an update no rows, and an insert the moved ones as new',
           c.oid::regclass
         )
    from pg_class c
   where c.oid = rule_limits.on_table
     and c.relkind = 'p';
$$;

comment on function bellwire.rule_limits(regclass) is
  'Internal. Which writes to a table a rule on it does not see.';

revoke all on function bellwire.rule_limits(regclass) from public;
