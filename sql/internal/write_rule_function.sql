-- Creates or replaces a rule's trigger function. It belongs to bellwire_rules and has the rights of that role only.
--
-- Row level security is off in it, so a policy that applies is an error. If it were on, the policy would hide rows silently.
--
-- Rights   called by bellwire.define_rule(), and by renew_rules.sql
-- Remove   with the schema
-- requires: give_to_rules.sql
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
  perform bellwire.give_to_rules(function::regprocedure);
end;
$$;

comment on function bellwire.write_rule_function(text, text) is
  'Internal. Creates or replaces a rule''s trigger function, which belongs to bellwire_rules.';

revoke all on function bellwire.write_rule_function(text, text) from public;
