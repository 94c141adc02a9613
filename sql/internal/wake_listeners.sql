-- Tells every Bellwire process that there is something to read.
--
-- Channel  bellwire
-- Payload  empty: a wake-up carries no data, so a role that may LISTEN learns nothing, and PostgreSQL sends equal payloads of one
--          transaction once
-- Cost     commits that notify wait for one lock of the whole cluster until they are durable; none while wake-ups are suspended,
--          by the service under load or by bellwire.suspend_wakeups() for good
-- Rights   called by triggers, as bellwire_rules or bellwire_owner
-- Remove   with the schema
-- requires: wakeups_are_suspended.sql
create or replace function bellwire.wake_listeners()
  returns void
  language sql
  volatile
  return case
           when not bellwire.wakeups_are_suspended() then pg_notify('bellwire', '')
         end;

comment on function bellwire.wake_listeners() is
  'Internal. Tells every Bellwire process that there is something to read. Carries no data.';

revoke all on function bellwire.wake_listeners() from public;
grant execute on function bellwire.wake_listeners() to bellwire_rules;
