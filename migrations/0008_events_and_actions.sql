-- Rules on delete, and on insert and update alike; rules that retract what was told, or revoke.
--
-- Locks    access exclusive on bellwire.rule_definitions for a moment: whoever reads bellwire.rules waits. The functions
--          dropped here are made anew by sql/, in the same transaction, because their arguments are others; who was given
--          EXECUTE on bellwire.define_rule() needs it again
-- Remove   with the schema

alter table bellwire.rule_definitions
  add column action text not null default 'notify',
  add constraint rule_definitions_action_check check (action in ('notify', 'retract', 'revoke')),
  drop constraint rule_definitions_on_event_check,
  add constraint rule_definitions_on_event_check check (on_event in ('insert', 'update', 'delete', 'insert or update'));

drop function if exists bellwire.define_rule(text, regclass, text, text, text);
drop function if exists bellwire.check_rule_query(text, regclass, text, text);
drop function if exists bellwire.rule_body(text, text, text[], text);
drop function if exists bellwire.rule_answer(text, text[]);
