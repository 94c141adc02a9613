-- Suspends wake-ups for so many milliseconds, at most a second, because the service reads without them. It calls this again and
-- again while it is busy. When it stops calling (it is idle again, or has crashed), wake-ups are sent again by themselves.
--
-- If wake-ups were sent until now, one more is sent: it makes every other instance look, and see that it has to poll. But not if
-- the cluster's notification queue is half full: that may be the reason for this call, and a full queue takes no more.
-- It does not end what bellwire.suspend_wakeups() suspended for good, which is another sequence.
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
