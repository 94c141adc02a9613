-- The statement that runs a rule's query on rows of its table, which are $1, as if they had been inserted, updated or deleted. The
-- tables are materialized, so that a plan shows a condition on the row where the row is read, with the names that the query uses.
--
-- Nothing stores the old rows of an update. The statement invents some in which every column but the key has another value, because
-- most rules ask whether a column has changed. A column whose type has no other value that is known here stays as it is.
--
-- Rights   called by bellwire.ask_rule()
-- Remove   with the schema
create or replace function bellwire.query_on_rows(query text, on_table oid, event text)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select format(
$query$with new_rows as materialized (select r.* from unnest($1) as r%s),
     old_rows as materialized (select %s from unnest($1) as r%s),
     told as (
%s
)
$query$,
           case event when 'delete' then ' where false' end,
           case event when 'update' then string_agg(columns.other || format(' as %I', columns.name), ', ' order by columns.place) else 'r.*' end,
           case event when 'insert' then ' where false' end,
           query
         )
    from (
           select a.attname as name,
                  a.attnum  as place,
                  case
                    when a.attgenerated <> ''
                         or exists (select from pg_constraint k where k.conrelid = on_table and k.contype = 'p' and a.attnum = any (k.conkey))
                      then format('r.%I', a.attname)
                    when t.typtype = 'e' then
                      format('(select l from unnest(enum_range(null::%s)) l where l is distinct from r.%I limit 1)', t.oid::regtype, a.attname)
                    when t.typnamespace <> 'pg_catalog'::regnamespace then format('r.%I', a.attname)
                    when v.one is not null then
                      format('case when r.%I = %L then %L else %L end::%s', a.attname, v.one, v.another, v.one, format_type(t.oid, a.atttypmod))
                    else format('r.%I', a.attname)
                  end as other
             from pg_attribute a
             join pg_type t on t.oid = a.atttypid
             left join (values
                    ('{bool}'::name[], 'false', 'true'),
                    ('{int2,int4,int8,float4,float8,numeric}', '0', '1'),
                    ('{text,varchar,bpchar}', '', 'x'),
                    ('{date,timestamp,timestamptz}', '1970-01-01', '2000-01-01'),
                    ('{uuid}', '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
                    ('{jsonb}', '{}', '[]')
                  ) as v (types, one, another) on t.typname = any (v.types)
            where a.attrelid = on_table
              and a.attnum > 0
              and not a.attisdropped
         ) as columns;
$$;

comment on function bellwire.query_on_rows(text, oid, text) is
  'Internal. The statement that runs a rule''s query on given rows of its table.';

revoke all on function bellwire.query_on_rows(text, oid, text) from public;
