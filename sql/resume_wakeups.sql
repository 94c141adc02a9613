-- Sends wake-ups again, after bellwire.suspend_wakeups().
--
--   select bellwire.resume_wakeups();
--
-- Rights   none by default: the owner, and whoever is given EXECUTE
-- Remove   drop function bellwire.resume_wakeups();
-- requires: wakeups_lock.sql
create or replace function bellwire.resume_wakeups()
  returns void
  language sql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pg_advisory_xact_lock(bellwire.wakeups_lock());
  select setval('bellwire.wakeups_suspended_until_ms', 0);
$$;

comment on function bellwire.resume_wakeups() is
  'Sends wake-ups again, after bellwire.suspend_wakeups().';

revoke all on function bellwire.resume_wakeups() from public;
