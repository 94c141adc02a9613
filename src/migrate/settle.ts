import { SETTINGS } from "./opening.ts";

/** The functions of schema bellwire and their checksums; rules' functions are checked against rule_definitions. */
export const FUNCTIONS = `
  select oid::regprocedure::text       as name,
         md5(pg_get_functiondef(oid)) as checksum,
         xmin
    from pg_proc
   where pronamespace = 'bellwire'::regnamespace
     and prokind in ('f', 'p')
     and not (proname like 'rule\\_%' and prorettype = 'trigger'::regtype)`;

/**
 * Run after files: records the functions they wrote, and hands what is in the schema to bellwire_owner, so
 * that no file has to. A function that somebody edited or added by hand is neither recorded nor handed
 * over: it must not become what migrate installed. What tells them apart is the transaction id, so a file
 * must not create functions inside a block with an exception handler (a transaction of its own).
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
    -- "alter table" takes views and sequences too; a column's own sequence follows its table.
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
     where p.proowner <> 'bellwire_owner'::regrole
  loop
    execute change;
  end loop;
end
$$;
`;
