-- Sends no wake-ups any more: the service polls, every SWEEP_MS, until bellwire.resume_wakeups().
--
--   select bellwire.suspend_wakeups();
--
-- For an application that uses PREPARE TRANSACTION, which refuses a transaction that has notified, and for whoever
-- wants no commit to wait for the one lock of the cluster that NOTIFY takes. Counts at once, also for transactions
-- that are already open, and is not undone by a rollback.
--
-- Rights   none by default: the owner, and whoever is given EXECUTE
-- Remove   drop function bellwire.suspend_wakeups();
-- requires: wakeups_lock.sql
create or replace function bellwire.suspend_wakeups()
  returns void
  language sql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pg_advisory_xact_lock(bellwire.wakeups_lock());
  select setval('bellwire.wakeups_suspended_until_ms', 9223372036854775807);
$$;

comment on function bellwire.suspend_wakeups() is
  'Sends no wake-ups any more: the service polls until bellwire.resume_wakeups().';

revoke all on function bellwire.suspend_wakeups() from public;
