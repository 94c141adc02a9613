-- Stops sending wake-ups: the service polls every SWEEP_MS, until bellwire.resume_wakeups().
--
--   select bellwire.suspend_wakeups();
--
-- There are two reasons to call it. PREPARE TRANSACTION refuses a transaction that has notified. And every commit that notifies waits
-- for one lock of the whole cluster. It takes effect at once, also for transactions that are already open, and a rollback does not
-- undo it.
--
-- It waits for no other transaction, so that it also helps in an emergency: writers of a sequence do not exclude each other, and the
-- service's leases are in another sequence.
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
