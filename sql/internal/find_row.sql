-- Where the row of a table with this key is: `place` is its ctid, `partition` the table that holds it, `written_by` the transaction
-- that wrote this version of it, and `exact_key` the key as PostgreSQL writes it. An error says which table, key or form of a key is wrong.
--
-- It compares with the types of PostgreSQL behind the columns' domains, because the check of a domain would run with the caller's rights.
--
-- Rights   called by bellwire.explain()
-- Remove   with the schema
create or replace function bellwire.find_row(
  on_table regclass,
  key      text,
  out place      tid,
  out partition  oid,
  out written_by xid,
  out exact_key  text
)
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set row_security = off
as $$
declare
  columns   text[];
  types     text[];
  parts     text[];
  condition text;
begin
  if on_table is null or key is null then
    raise exception 'name a table, the key of one of its rows, and a recipient' using errcode = 'null_value_not_allowed';
  end if;
  with recursive base as (
    select array_position(k.conkey, a.attnum) as place, a.attname, a.atttypid as type
      from pg_constraint k
      join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
     where k.conrelid = on_table
       and k.contype = 'p'
     union all
    select b.place, b.attname, t.typbasetype
      from base b
      join pg_type t on t.oid = b.type and t.typtype = 'd'
  )
  select array_agg(b.attname order by b.place), array_agg(b.type::regtype::text order by b.place)
    into columns, types
    from base b
    join pg_type t on t.oid = b.type and t.typtype <> 'd';
  if columns is null then
    raise exception 'table % has no primary key, so a row has no key', on_table
      using errcode = 'wrong_object_type',
            hint = 'Use bellwire.try_rule() with the rule''s query and a condition that finds the row.';
  end if;
  begin
    parts := case cardinality(columns) when 1 then array[key] else ('{' || substr(key, 2, length(key) - 2) || '}')::text[] end;
    if cardinality(columns) > 1 and (key not like '(%)' or cardinality(parts) <> cardinality(columns)) then
      raise exception using errcode = 'invalid_text_representation';
    end if;
    select string_agg(format('t.%I::%s = %L::%s', c, types[n], parts[n], types[n]), ' and ')
      into condition
      from unnest(columns) with ordinality as listed (c, n);
    execute format(
      'select t.ctid, t.tableoid, t.xmin, %s from %s t where %s',
      case cardinality(columns)
        when 1 then format('format(''%%s'', t.%I::%s)', columns[1], types[1])
        else (select format('row(%s)::text', string_agg(format('t.%I::%s', c, types[n]), ', ')) from unnest(columns) with ordinality as listed (c, n))
      end,
      on_table, condition
    )
       into place, partition, written_by, exact_key;
  exception
    when data_exception then
      raise exception '% is not a key of table %', quote_literal(key), on_table
        using errcode = 'invalid_text_representation',
              hint = case cardinality(columns)
                when 1 then format('The key is the value of column %s, of type %s.', columns[1], types[1])
                else format('The key is a text of the form (%s).', array_to_string(columns, ','))
              end;
  end;
  if place is null then
    raise exception 'table % has no row with the key %', on_table, key
      using errcode = 'no_data_found',
            hint = 'Nothing stores rows that were deleted. Ask for a notification by its id: select * from bellwire.explain(17);';
  end if;
end;
$$;

comment on function bellwire.find_row(regclass, text) is
  'Internal. Where the row of a table with this key is, and which transaction wrote it.';

revoke all on function bellwire.find_row(regclass, text) from public;
