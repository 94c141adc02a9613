-- Whether wake-ups are suspended now: whether bellwire.wakeups_suspended_ms() is above 0.
--
-- Every insert that makes notifications calls it. So it does not compute the milliseconds, and during a lease it reads only one
-- sequence, once.
--
-- Cost     some microseconds: PostgreSQL inlines it into the expression that calls it
-- Rights   called by triggers, as bellwire_rules or bellwire_owner
-- Remove   with the schema
create or replace function bellwire.wakeups_are_suspended()
  returns boolean
  language sql
  volatile
  return (
           width_bucket(
             pg_sequence_last_value('bellwire.wakeups_suspended_until_ms')
               - date_part('epoch', clock_timestamp()) * 1000,
             '{0, 1000}'::double precision[]  -- over, a lease, longer than any lease
           ) = 1
           or pg_sequence_last_value('bellwire.wakeups_suspended_for_good') = 1
         ) is true;  -- null before the first setval()

comment on function bellwire.wakeups_are_suspended() is
  'Internal. Whether wake-ups are suspended, by a lease or for good.';

revoke all on function bellwire.wakeups_are_suspended() from public;
grant execute on function bellwire.wakeups_are_suspended() to bellwire_rules;
