-- Why a part of an executed plan returned no row, in words that quote its conditions. `conditions` are these alone.
--
-- Rights   called by bellwire.why_empty()
-- Remove   with the schema
create or replace function bellwire.describe_part(part jsonb, out reason text, out conditions text)
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  filter     constant text := coalesce(part ->> 'Filter', part ->> 'One-Time Filter');
  key        constant text := coalesce(part ->> 'Index Cond', part ->> 'Recheck Cond', part ->> 'TID Cond');
  inner_side constant jsonb := (select c from jsonb_array_elements(part -> 'Plans') as c where c ->> 'Parent Relationship' = 'Inner');
  -- What a join compares. The inner side of a nested loop may do it, in its index.
  compared   constant text := concat_ws(
    ' and ', part ->> 'Hash Cond', part ->> 'Merge Cond', part ->> 'Join Filter', inner_side ->> 'Index Cond'
  );
  -- What the tables below it require.
  required   constant text := (
    select string_agg(f #>> '{}', ' and ')
      from jsonb_path_query(part -> 'Plans', 'strict $.** ? (exists (@."Relation Name") && exists (@."Filter"))."Filter"') as f
  );
  relation   constant text := concat_ws(
    ' ', quote_ident(part ->> 'Schema') || '.' || quote_ident(part ->> 'Relation Name'), nullif(part ->> 'Alias', part ->> 'Relation Name')
  );
begin
  conditions := concat_ws(' ', filter, key, compared, required);
  reason := case
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
  -- A condition names its subqueries by their number.
  select concat_ws('; ', reason, string_agg(format('%s reads %s', sub ->> 'Subplan Name', tables.names), '; '))
    into reason
    from jsonb_array_elements(part -> 'Plans') as sub
   cross join lateral (
           select string_agg(distinct coalesce(t ->> 'Relation Name', t ->> 'CTE Name'), ', ') as names
             from jsonb_path_query(sub, 'strict $.** ? (exists (@."Relation Name") || exists (@."CTE Name"))') as t
         ) as tables
   where sub ->> 'Parent Relationship' in ('InitPlan', 'SubPlan')
     and sub ->> 'Subplan Name' not like 'CTE %'
     and tables.names <> '';
end;
$$;

comment on function bellwire.describe_part(jsonb) is
  'Internal. Why a part of an executed plan returned no row.';

revoke all on function bellwire.describe_part(jsonb) from public;
