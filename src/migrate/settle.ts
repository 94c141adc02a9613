import { SETTINGS } from "./opening.ts";

/** The functions of schema bellwire and their checksums. The rules' functions are compared with rule_definitions instead. */
export const FUNCTIONS = `
  select oid::regprocedure::text       as name,
         md5(pg_get_functiondef(oid)) as checksum,
         xmin
    from pg_proc
   where pronamespace = 'bellwire'::regnamespace
     and prokind in ('f', 'p')
     and not (proname like 'rule\\_%' and prorettype = 'trigger'::regtype)`;

/**
 * Runs after the files. It records the functions that they wrote, and makes bellwire_owner the owner of everything in the schema, so
 * that no file has to. A function that was edited or added by hand is not recorded and keeps its owner, because migrate did not
 * install it. migrate knows its own functions by their transaction id. So a file must not create functions inside a block with an
 * exception handler, which is a subtransaction with its own id.
 */
export const SETTLE = `${SETTINGS}
delete from bellwire.schema_functions
 where to_regprocedure(name) is null;
insert into bellwire.schema_functions (name, checksum)
select name, checksum
  from (${FUNCTIONS}
       ) present
 where xmin = pg_current_xact_id()::xid
on conflict (name) do update
set checksum = excluded.checksum;
do $$
declare
  change text;
begin
  for change in
    select 'alter schema bellwire owner to bellwire_owner'
      from pg_namespace
     where nspname = 'bellwire'
       and nspowner <> 'bellwire_owner'::regrole
    union all
    -- "alter table" also works for views and sequences. The sequence of a column gets its table's owner.
    select format('alter table %s owner to bellwire_owner', c.oid::regclass)
      from pg_class c
     where c.relnamespace = 'bellwire'::regnamespace
       and c.relowner <> 'bellwire_owner'::regrole
       and c.relkind in ('r', 'p', 'v', 'm', 'S')
       and not exists (
             select
               from pg_depend d
              where c.relkind = 'S'
                and d.classid = 'pg_class'::regclass
                and d.objid = c.oid
                and d.deptype in ('a', 'i')
           )
    union all
    select format('alter routine %s owner to bellwire_owner', p.oid::regprocedure)
      from pg_proc p
      join bellwire.schema_functions installed on installed.name = p.oid::regprocedure::text
     where p.pronamespace = 'bellwire'::regnamespace
       and p.proowner not in ('bellwire_owner'::regrole, 'bellwire_rules'::regrole)
  loop
    execute change;
  end loop;
end
$$;
`;
