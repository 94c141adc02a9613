-- Stops sending wake-ups: the service polls every SWEEP_MS, until bellwire.resume_wakeups().
--
--   select bellwire.suspend_wakeups();
--
-- For an application that uses PREPARE TRANSACTION, which refuses a transaction that has notified, and for those who want no
-- commit to wait for the one lock of the cluster that NOTIFY takes. It takes effect at once, also for transactions that are
-- already open, and a rollback does not undo it.
--
-- It waits for nobody, because it may be an emergency: writers of a sequence do not exclude each other, and leases are kept in
-- another sequence.
--
-- Rights   none by default: the owner, and roles with EXECUTE
-- Remove   drop function bellwire.suspend_wakeups();
create or replace function bellwire.suspend_wakeups()
  returns void
  language sql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
  select setval('bellwire.wakeups_suspended_for_good', 1);
$$;

comment on function bellwire.suspend_wakeups() is
  'Stops sending wake-ups (NOTIFY): the service polls until bellwire.resume_wakeups().';

revoke all on function bellwire.suspend_wakeups() from public;
