-- Tells every Bellwire process that there is something to read.
--
-- Channel  bellwire
-- Payload  empty: a role that may LISTEN learns nothing from it, and PostgreSQL sends equal payloads of one transaction only once
-- Cost     a commit that notifies takes one lock of the whole cluster until it is durable, so such commits wait for each other. No
--          cost while wake-ups are suspended, by the service under load or by bellwire.suspend_wakeups()
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
