-- Makes bellwire_rules the owner of a function, so that a SECURITY DEFINER function has the rights of that role only.
-- Besides, only members of bellwire_owner may execute it, because they are members of bellwire_rules.
--
-- Rights   called by bellwire.write_rule_function(), and by run_as_rules.sql
-- Remove   with the schema
create or replace function bellwire.give_to_rules(function regprocedure)
  returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (select p.proowner from pg_proc p where p.oid = function) <> 'bellwire_rules'::regrole then
    -- A role can be given a function only while it may create one.
    grant create on schema bellwire to bellwire_rules;
    execute format('alter function %s owner to bellwire_rules', function);
    revoke create on schema bellwire from bellwire_rules;
  end if;
  execute format('revoke all on function %s from public', function);
end;
$$;

comment on function bellwire.give_to_rules(regprocedure) is
  'Internal. Makes bellwire_rules the owner of a function.';

revoke all on function bellwire.give_to_rules(regprocedure) from public;
