-- Finds the part of an executed plan where its rows ended: the first one, in the order of execution, that got rows and returned none.
-- A UNION has one in each of its branches. Parts that were not executed, or that may be empty (the optional side of an outer join), are
-- not it.
--
-- Rights   called by bellwire.why_empty()
-- Remove   with the schema
create or replace function bellwire.empty_parts(part jsonb, plan jsonb)
  returns setof jsonb
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  child jsonb;
  found jsonb;
  ended boolean := false;
begin
  if (part ->> 'Actual Rows')::numeric * (part ->> 'Actual Loops')::numeric <> 0 or (part ->> 'Actual Loops')::numeric = 0 then
    return;
  end if;
  -- Before PostgreSQL 18 the rows of a part that was executed several times are rounded. What a join has removed came from both sides.
  if coalesce((part ->> 'Rows Removed by Join Filter')::numeric, 0) > 0 then
    return next part;
    return;
  end if;
  for child in
    select c from jsonb_array_elements(part -> 'Plans') as c
     where c ->> 'Parent Relationship' not in ('InitPlan', 'SubPlan')
     union all
    -- A WITH query of the rule.
    select c from jsonb_path_query(plan, 'strict $.** ? (@."Subplan Name" == $name)', jsonb_build_object('name', 'CTE ' || (part ->> 'CTE Name'))) as c
     where part ->> 'CTE Name' not in ('new_rows', 'old_rows')
       and not part ? 'Filter'
  loop
    continue when ended and part ->> 'Node Type' not in ('Append', 'Merge Append')
      or child ->> 'Node Type' = 'Bitmap Index Scan'
      or part ->> 'Join Type' in ('Left', 'Anti', 'Full') and child ->> 'Parent Relationship' = 'Inner'
      or part ->> 'Join Type' in ('Right', 'Right Anti', 'Full') and child ->> 'Parent Relationship' = 'Outer';
    for found in select * from bellwire.empty_parts(child, plan) loop
      ended := true;
      return next found;
    end loop;
  end loop;
  if not ended then
    return next part;
  end if;
end;
$$;

comment on function bellwire.empty_parts(jsonb, jsonb) is
  'Internal. The parts of an executed plan where its rows ended.';

revoke all on function bellwire.empty_parts(jsonb, jsonb) from public;
