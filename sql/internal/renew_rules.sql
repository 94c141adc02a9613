-- Gives the installed rules the function body that this release writes. migrate applies this file again whenever a file that it
-- requires has changed, directly or through another file.
--
-- A rule that this release would refuse keeps its old body, with a warning. The file does not use bellwire.define_rule(), because that
-- would enable a trigger that somebody has disabled.
--
-- Locks    bellwire.lock_rules(); none on the tables that have rules
-- Remove   nothing is left behind
-- requires: check_rule_query.sql
-- requires: lock_rules.sql
-- requires: rule_body.sql
-- requires: rules_rights.sql
-- requires: write_rule_function.sql
do $renew$
declare
  rule record;
  body text;
begin
  perform bellwire.lock_rules('of an older release');
  for rule in
    select d.*, p.prosrc as old_body, p.proowner = 'bellwire_rules'::regrole as runs_as_rules
      from bellwire.rule_definitions d
      -- Also a rule whose trigger is missing or disabled: it may be created or enabled again.
      join pg_proc p on p.oid = to_regprocedure(d.function)
     order by d.name
  loop
    begin
      select bellwire.rule_body(rule.name, rule.query, checked.columns, checked.typed, rule.on_error, rule.on_event, rule.action)
        into body
        from bellwire.check_rule_query(rule.name, rule.on_table, rule.on_event, rule.query, rule.action) as checked;
    exception
      -- These errors are temporary: migrate fails, and can be run again.
      when transaction_rollback or lock_not_available then
        raise;
      when others then
        raise warning 'bellwire: rule "%" keeps the body that an older release gave it: %', rule.name, sqlerrm
          using hint = 'Correct it and define it again, or drop it.';
        continue;
    end;
    continue when body = rule.old_body and rule.runs_as_rules;
    perform bellwire.write_rule_function(rule.function, body);
    update bellwire.rule_definitions d set checksum = md5(body) where d.name = rule.name;
  end loop;
end
$renew$;
