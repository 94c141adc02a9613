-- Sends wake-ups again after bellwire.suspend_wakeups(). It also ends a lease that the service took because it was busy. If the service
-- is still busy, it takes another one.
--
--   select bellwire.resume_wakeups();
--
-- Rights   none by default: the owner, and roles with EXECUTE
-- Remove   drop function bellwire.resume_wakeups();
create or replace function bellwire.resume_wakeups()
  returns void
  language sql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
  select setval('bellwire.wakeups_suspended_for_good', 0);
  select setval('bellwire.wakeups_suspended_until_ms', 0);
$$;

comment on function bellwire.resume_wakeups() is
  'Sends wake-ups (NOTIFY) again after bellwire.suspend_wakeups().';

revoke all on function bellwire.resume_wakeups() from public;
