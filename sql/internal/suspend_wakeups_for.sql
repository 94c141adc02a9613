-- Sends no wake-ups for so many milliseconds, a second at the most, because the service reads without: it calls this again
-- and again while it is busy, and when it does not (it is idle again, or dead) they are sent again by themselves.
--
-- When they were being sent until now, one more is: it has every other service look, and see that it must read without. But none
-- when half of the queue of notifications is full: this may be the reason for the call, and a full one takes no more.
-- What bellwire.suspend_wakeups() has suspended for good stays so: that is another sequence.
--
-- Cost     one sequence written; the first of a row one NOTIFY
-- Rights   bellwire_service
-- Remove   drop function bellwire.suspend_wakeups_for(integer);
create or replace function bellwire.suspend_wakeups_for(ms integer)
  returns void
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  suspended_ms constant double precision := bellwire.wakeups_suspended_ms();
begin
  if suspended_ms = 'infinity' then
    return;
  end if;
  perform setval(
    'bellwire.wakeups_suspended_until_ms',
    floor(date_part('epoch', clock_timestamp()) * 1000 + least(greatest(ms, 0), 1000))::bigint
  );
  if suspended_ms = 0 and pg_notification_queue_usage() < 0.5 then
    perform pg_notify('bellwire', '');
  end if;
end;
$$;

comment on function bellwire.suspend_wakeups_for(integer) is
  'Internal. Sends no wake-ups for so many milliseconds, at most a second. The service calls it while it is busy.';

revoke all on function bellwire.suspend_wakeups_for(integer) from public;
grant execute on function bellwire.suspend_wakeups_for(integer) to bellwire_service;
