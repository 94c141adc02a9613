-- For how long no wake-ups will be sent, in milliseconds: 0 when they are, infinity when suspended for good.
--
-- A lease (bellwire.suspend_wakeups_for()) is never longer than a second: what is further away comes of a clock that
-- was set back, and counts for nothing.
--
-- Cost     reads one buffer, whatever the transaction's snapshot
-- Rights   bellwire_service
-- Remove   with the schema
create or replace function bellwire.wakeups_suspended_ms()
  returns double precision
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  select case
           when s.last_value = 9223372036854775807 then 'infinity'
           when left_ms > 0 and left_ms <= 1000 then left_ms
           else 0
         end
    from bellwire.wakeups_suspended_until_ms s,
         lateral (select s.last_value - date_part('epoch', clock_timestamp()) * 1000) l (left_ms);
$$;

comment on function bellwire.wakeups_suspended_ms() is
  'For how long no wake-ups will be sent, in milliseconds; infinity when suspended for good.';

revoke all on function bellwire.wakeups_suspended_ms() from public;
grant execute on function bellwire.wakeups_suspended_ms() to bellwire_service;
