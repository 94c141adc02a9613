-- Why a rule's query returned no row, in a sentence that quotes the condition, from its executed plan. `about_old` says that the
-- condition is about the old row of an update, which is invented (bellwire.query_on_rows()).
--
-- Rights   called by bellwire.explain() and try_rule()
-- Remove   with the schema
-- requires: empty_part.sql
create or replace function bellwire.why_empty(plan jsonb, written jsonb, out reason text, out about_old boolean)
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  part      constant jsonb := bellwire.empty_part(plan, plan);
  filter    constant text := coalesce(part ->> 'Filter', part ->> 'One-Time Filter');
  key       constant text := coalesce(part ->> 'Index Cond', part ->> 'Recheck Cond', part ->> 'TID Cond');
  inner_side constant jsonb := (
    select c from jsonb_array_elements(part -> 'Plans') as c where c ->> 'Parent Relationship' = 'Inner'
  );
  -- What a join compares. The inner side of a nested loop may do it, in its index.
  compared  constant text := concat_ws(' and ',
    part ->> 'Hash Cond', part ->> 'Merge Cond', part ->> 'Join Filter',
    inner_side ->> 'Index Cond'
  );
  -- What its inner side requires.
  required  constant text := jsonb_path_query_first(inner_side, 'strict $.** ? (exists (@."Filter"))."Filter"') #>> '{}';
  relation  constant text := concat_ws(' ',
    quote_ident(part ->> 'Schema') || '.' || quote_ident(part ->> 'Relation Name'),
    nullif(part ->> 'Alias', part ->> 'Relation Name')
  );
  aliases   constant text[] := array(
    select distinct c ->> 'Alias' from jsonb_path_query(plan, 'strict $.** ? (@."CTE Name" == "new_rows")') as c
  );
  old       constant text[] := array(
    select distinct c ->> 'Alias' from jsonb_path_query(plan, 'strict $.** ? (@."CTE Name" == "old_rows")') as c
  );
  condition text;
  shown     text;
begin
  reason := case
    when part is null then 'its query returns no row'
    when part ->> 'CTE Name' = 'new_rows' and filter is null then 'there is no new row on this event'
    when part ->> 'CTE Name' = 'old_rows' and filter is null then 'there is no old row on this event'
    when part ->> 'CTE Name' = 'new_rows' then format('its query leaves out the row, because of %s', filter)
    when part ->> 'CTE Name' = 'old_rows' then format('its query leaves out the old row, because of %s', filter)
    when part ? 'Relation Name' and key is not null and filter is not null and (part ->> 'Rows Removed by Filter')::numeric > 0
      then format('%s has a row with %s, but its query leaves that out, because of %s', relation, key, filter)
    when part ? 'Relation Name' and coalesce(key, filter) is not null
      then format('its query finds no row of %s with %s', relation, concat_ws(' and ', key, filter))
    when part ? 'Relation Name' then format('%s has no row', relation)
    when part ->> 'Join Type' in ('Anti', 'Right Anti') and compared <> ''
      then format('its query leaves out the row, because one exists with %s', compared)
    when filter is not null then format('its query leaves out all rows, because of %s', filter)
    when compared <> '' and required is not null then format('its query finds no rows to join with %s, of those with %s', compared, required)
    when compared <> '' then format('its query finds no rows to join with %s', compared)
    else 'its query returns no row'
  end;
  condition := concat_ws(' ', filter, key, compared, required);
  about_old := exists (select from unnest(old) as o where condition ~ format(e'(^|[^.\\w"])%s\\.', quote_ident(o)));
  select string_agg(format('%s is %s', c.key, coalesce(quote_literal(left(c.value, 60)), 'null')), ', ')
    into shown
    from jsonb_each_text(written) as c
   where exists (
           select from unnest(aliases) as a
            where condition ~ format(e'(^|[^.\\w"])%s\\.%s($|[^\\w"])', quote_ident(a), quote_ident(c.key))
         );
  reason := concat_ws('; in this row ', reason, shown);
end;
$$;

comment on function bellwire.why_empty(jsonb, jsonb) is
  'Internal. Why a rule''s query returned no row, in a sentence, from its executed plan.';

revoke all on function bellwire.why_empty(jsonb, jsonb) from public;
