-- Tells every Bellwire process that there is something to read.
--
-- Channel  bellwire
-- Payload  empty: a wake-up carries no data, so nobody who may LISTEN learns anything, and PostgreSQL
--          folds the equal payloads of one transaction into one
-- Cost     commits that notify queue for one lock of the whole cluster until they are durable; none while
--          wake-ups are suspended (bellwire.suspend_wakeups())
-- Rights   called by the triggers, as bellwire_owner
-- Remove   with the schema
create or replace function bellwire.wake_listeners()
  returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  select pg_notify('bellwire', '')
    from bellwire.wakeups_suspended_until_ms s
   where s.last_value <= extract(epoch from clock_timestamp()) * 1000;
$$;

comment on function bellwire.wake_listeners() is
  'Tells every Bellwire process that there is something to read. Carries no data.';

revoke all on function bellwire.wake_listeners() from public;
