-- Creates or replaces a rule's trigger function. It belongs to bellwire_rules and has the rights of that role only.
--
-- Row level security is off in it, so a policy that applies is an error. If it were on, the policy would hide rows silently.
--
-- Rights   called by bellwire.define_rule(), and by renew_rules.sql
-- Remove   with the schema
create or replace function bellwire.write_rule_function(function text, body text)
  returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  execute format(
    'create or replace function %s returns trigger language plpgsql security definer '
    'set search_path = pg_catalog, pg_temp set row_security = off as %L',
    function, body
  );
  if (select p.proowner from pg_proc p where p.oid = to_regprocedure(function)) <> 'bellwire_rules'::regrole then
    -- A role can be given a function only while it may create one.
    grant create on schema bellwire to bellwire_rules;
    execute format('alter function %s owner to bellwire_rules', function);
    revoke create on schema bellwire from bellwire_rules;
  end if;
  execute format('revoke all on function %s from public', function);
end;
$$;

comment on function bellwire.write_rule_function(text, text) is
  'Internal. Creates or replaces a rule''s trigger function, which belongs to bellwire_rules.';

revoke all on function bellwire.write_rule_function(text, text) from public;
