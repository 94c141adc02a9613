-- Why a rule's query returned no row, in a sentence that quotes the condition, from its executed plan. `about_old` says that the
-- condition is about the old row of an update, which is invented (bellwire.query_on_rows()).
--
-- Rights   called by bellwire.explain() and try_rule()
-- Remove   with the schema
-- requires: describe_part.sql
-- requires: empty_parts.sql
create or replace function bellwire.why_empty(plan jsonb, written jsonb, out reason text, out about_old boolean)
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  with names as (
    select c ->> 'CTE Name' as cte, quote_ident(c ->> 'Alias') as alias
      from jsonb_path_query(plan, 'strict $.** ? (@."CTE Name" == "new_rows" || @."CTE Name" == "old_rows")') as c
  ),
  described as (
    select d.reason, d.conditions
      from bellwire.empty_parts(plan, plan) as part
     cross join lateral bellwire.describe_part(part) as d
     -- A partitioned table has a part for each partition.
     limit 3
  )
  select concat_ws(
           '; in this row ',
           coalesce(string_agg(d.reason, '; and '), 'its query returns no row'),
           (
             select string_agg(format('%s is %s', c.key, coalesce(quote_literal(c.value), 'null')), ', ')
               from jsonb_each_text(written) as c
              where exists (
                      select
                        from names n
                       where n.cte = 'new_rows'
                         and string_agg(d.conditions, ' ') ~ format(e'(^|[^.\\w"])%s\\.%s($|[^\\w"])', n.alias, quote_ident(c.key))
                    )
           )
         ),
         coalesce(
           bool_or(exists (select from names n where n.cte = 'old_rows' and d.conditions ~ format(e'(^|[^.\\w"])%s\\.', n.alias))),
           false
         )
    from described d;
$$;

comment on function bellwire.why_empty(jsonb, jsonb) is
  'Internal. Why a rule''s query returned no row, in a sentence, from its executed plan.';

revoke all on function bellwire.why_empty(jsonb, jsonb) from public;
