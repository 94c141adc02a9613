-- Finds the part of an executed plan where its rows ended: the first one, in the order of execution, that got rows and returned none.
-- Parts that were not executed, or that may be empty (the optional side of an outer join), are not it.
--
-- Rights   called by bellwire.why_empty()
-- Remove   with the schema
create or replace function bellwire.empty_part(part jsonb, plan jsonb)
  returns jsonb
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  child jsonb;
  found jsonb;
begin
  if (part ->> 'Actual Rows')::numeric * (part ->> 'Actual Loops')::numeric <> 0 or (part ->> 'Actual Loops')::numeric = 0 then
    return null;
  end if;
  -- Before PostgreSQL 18 the rows of a part that was executed several times are rounded. What a join has removed came from both sides.
  if coalesce((part ->> 'Rows Removed by Join Filter')::numeric, 0) > 0 then
    return part;
  end if;
  for child in select c from jsonb_array_elements(part -> 'Plans') as c loop
    continue when child ->> 'Parent Relationship' in ('InitPlan', 'SubPlan')
      or child ->> 'Node Type' = 'Bitmap Index Scan'
      or part ->> 'Join Type' in ('Left', 'Anti', 'Full') and child ->> 'Parent Relationship' = 'Inner'
      or part ->> 'Join Type' in ('Right', 'Right Anti', 'Full') and child ->> 'Parent Relationship' = 'Outer';
    found := bellwire.empty_part(child, plan);
    if found is not null then
      return found;
    end if;
  end loop;
  -- A WITH query of the rule.
  if part ? 'CTE Name' and part ->> 'CTE Name' not in ('new_rows', 'old_rows') and not part ? 'Filter' then
    found := bellwire.empty_part(
      jsonb_path_query_first(
        plan, 'strict $.** ? (@."Subplan Name" == $name)', jsonb_build_object('name', 'CTE ' || (part ->> 'CTE Name'))
      ),
      plan
    );
  end if;
  return coalesce(found, part);
end;
$$;

comment on function bellwire.empty_part(jsonb, jsonb) is
  'Internal. The part of an executed plan where its rows ended.';

revoke all on function bellwire.empty_part(jsonb, jsonb) from public;
