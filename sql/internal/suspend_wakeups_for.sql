-- Suspends wake-ups for this many milliseconds, at most a second. The service calls this again and again while it is busy and reads
-- without wake-ups. When it stops calling (it is idle again, or has crashed), wake-ups are sent again.
--
-- If wake-ups were sent until now, one more is sent. It makes every other instance read, and so learn that it must read every tick.
-- None is sent if the cluster's notification queue is half full: that may be the reason for this call, and the queue must not fill.
-- It does not change what bellwire.suspend_wakeups() has set, which is in another sequence.
--
-- Cost     one write of a sequence; the first call of a series sends one NOTIFY
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
