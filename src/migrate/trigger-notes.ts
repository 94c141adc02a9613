import type { ClientBase } from "pg";

/** A hand-written trigger that will fail the writes of `role`, and the missing grants. */
export type TriggerNote = { trigger: string; calls: string; role: string; grants: string };

/**
 * Finds triggers whose function calls bellwire.notify() or bellwire.revoke() without the right to. The function runs as the role that
 * writes to the table, or as its owner if it is SECURITY DEFINER. Calls through another function are not found.
 */
export async function readTriggerNotes(client: ClientBase): Promise<TriggerNote[]> {
  const { rows: able } = await client.query<{ exists: boolean }>(
    "select to_regnamespace('bellwire') is not null as exists",
  );
  if (!able[0]?.exists) return [];
  return (await client.query<TriggerNote>(TRIGGERS)).rows;
}

/** Materialized, so that the costly checks of rights run only for the few functions that call ours. */
const TRIGGERS = `
with trigger as materialized (
  select t.tgname, t.tgfoid, c.oid, c.relowner, c.relacl
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
   where not t.tgisinternal
     and t.tgenabled <> 'D'
     and c.relnamespace <> 'bellwire'::regnamespace
),
called as materialized (
  select distinct p.oid, p.proowner, p.prosecdef, lower(m[1]) as name
    from pg_proc p
   cross join lateral regexp_matches(
           p.prosrc, '"?bellwire"?\\s*\\.\\s*"?(notify|revoke)"?\\s*\\(', 'gi'
         ) as m
   where p.oid = any (array(select tgfoid from trigger))
)
select format('%I on %s', t.tgname, t.oid::regclass) as trigger,
       format('bellwire.%s()', called.name)          as calls,
       writer.name                                   as role,
       array_to_string(wanted.grants, ' ')           as grants
  from trigger t
  join called on called.oid = t.tgfoid
  join pg_proc f on f.pronamespace = 'bellwire'::regnamespace and f.proname = called.name
 cross join lateral (
         select distinct case w.oid when 0 then 'public' else pg_get_userbyid(w.oid)::text end as name
           from (
                  select called.proowner where called.prosecdef
                  union all
                  select t.relowner where not called.prosecdef
                  union all
                  select a.grantee
                    from aclexplode(t.relacl) a
                   where not called.prosecdef and a.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
                  union all
                  select a.grantee
                    from pg_attribute col, aclexplode(col.attacl) a
                   where not called.prosecdef and col.attrelid = t.oid and a.privilege_type in ('INSERT', 'UPDATE')
                ) w (oid)
       ) writer
 cross join lateral (
         select array_remove(array[
                  case when not has_schema_privilege(writer.name, 'bellwire', 'usage')
                    then format('grant usage on schema bellwire to %s;', case writer.name when 'public' then 'public' else quote_ident(writer.name) end)
                  end,
                  case when not has_function_privilege(writer.name, f.oid, 'execute')
                    then format('grant execute on function bellwire.%I to %s;', f.proname, case writer.name when 'public' then 'public' else quote_ident(writer.name) end)
                  end
                ], null) as grants
       ) wanted
 where cardinality(wanted.grants) > 0
 order by 1, 2, 3`;
