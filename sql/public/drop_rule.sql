-- Removes a rule: its triggers, its function and its definition. The notifications that it has written stay.
--
--   select bellwire.drop_rule('answer_received');
--
-- It also works if the table no longer exists. An unknown name is an error that lists the known ones.
--
-- Locks    access exclusive on the table, for as long as dropping a trigger takes; bellwire.lock_rules()
-- Rights   a role that owns the table and is a member of bellwire_owner
-- Remove   with the schema
create or replace function bellwire.drop_rule(name text)
  returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  installed bellwire.rule_definitions;
  trigger   name;
begin
  perform bellwire.lock_rules(drop_rule.name);
  select d.* into installed from bellwire.rule_definitions d where d.name = drop_rule.name;
  if not found then
    raise exception 'there is no rule "%"', drop_rule.name
      using errcode = 'undefined_object',
            hint = coalesce(
              (select 'The rules are: ' || string_agg(d.name, ', ' order by d.name) || '.' from bellwire.rule_definitions d),
              'There are no rules.'
            );
  end if;
  for trigger in
    select t.tgname
      from pg_trigger t
     where t.tgrelid = installed.on_table
       and (t.tgname = installed.trigger_name or t.tgfoid = to_regprocedure(installed.function))
  loop
    execute format('drop trigger %I on %s', trigger, installed.on_table);
  end loop;
  execute format('drop function if exists %s', installed.function);
  delete from bellwire.rule_definitions d where d.name = drop_rule.name;
end;
$$;

comment on function bellwire.drop_rule(text) is
  'Removes a rule: its triggers, its function and its definition. The notifications it has written stay.';

revoke all on function bellwire.drop_rule(text) from public;
