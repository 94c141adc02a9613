-- For how long no wake-ups will be sent, in milliseconds: 0 when they are sent, infinity when suspended for good.
--
-- A lease (bellwire.suspend_wakeups_for()) is never longer than a second. A longer one means that the clock was set back, and it
-- is ignored.
--
-- pg_sequence_last_value() is the function behind the view pg_sequences: it reads the sequence's buffer, whatever the snapshot,
-- and is null before the first setval().
--
-- Cost     a microsecond: PostgreSQL inlines it into the expression that calls it; with a search_path it would not
-- Rights   bellwire_service
-- Remove   with the schema
create or replace function bellwire.wakeups_suspended_ms()
  returns double precision
  language sql
  volatile
  return case
           when pg_sequence_last_value('bellwire.wakeups_suspended_for_good') = 1 then 'infinity'
           when width_bucket(
                  pg_sequence_last_value('bellwire.wakeups_suspended_until_ms')
                    - date_part('epoch', clock_timestamp()) * 1000,
                  '{0, 1000}'::double precision[]  -- over, a lease, longer than any lease
                ) = 1
           then pg_sequence_last_value('bellwire.wakeups_suspended_until_ms')
                  - date_part('epoch', clock_timestamp()) * 1000
           else 0
         end;

comment on function bellwire.wakeups_suspended_ms() is
  'For how many milliseconds no wake-ups (NOTIFY) will be sent: 0 when they are, infinity when suspended for good.';

revoke all on function bellwire.wakeups_suspended_ms() from public;
grant execute on function bellwire.wakeups_suspended_ms() to bellwire_service;
