-- The advisory lock of those who write bellwire.wakeups_suspended_until_ms: any number that nobody else takes.
--
-- Rights   called by bellwire.suspend_wakeups(), resume_wakeups() and suspend_wakeups_for()
-- Remove   with the schema
create or replace function bellwire.wakeups_lock()
  returns bigint
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select 6570482391184526031;
$$;

comment on function bellwire.wakeups_lock() is
  'The advisory lock of those who write bellwire.wakeups_suspended_until_ms.';

revoke all on function bellwire.wakeups_lock() from public;
