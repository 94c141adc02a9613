-- The SQL expression for the key of a row `r` of a table, as a text: the primary key's column, or for several columns the record of
-- them, as in (1,2). Null if the table has no primary key.
--
-- Rights   called by rules when they fail, as bellwire_rules, and by bellwire.explain()
-- Remove   with the schema
create or replace function bellwire.row_key(on_table oid)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case count(*)
           when 0 then null
           when 1 then format('r.%I::text', min(a.attname))
           else format('row(%s)::text', string_agg(format('r.%I', a.attname), ', ' order by array_position(k.conkey, a.attnum)))
         end
    from pg_constraint k  -- not pg_index, which also lists columns that the index only includes
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
   where k.conrelid = on_table
     and k.contype = 'p';
$$;

comment on function bellwire.row_key(oid) is
  'Internal. The SQL expression for the key of a row of a table.';

revoke all on function bellwire.row_key(oid) from public;
grant execute on function bellwire.row_key(oid) to bellwire_rules;
