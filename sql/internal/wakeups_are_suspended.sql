-- Whether wake-ups are suspended now: whether bellwire.wakeups_suspended_ms() is above 0.
--
-- Every insert that makes notifications calls it. During a lease it reads one sequence once, and it does not compute the
-- milliseconds.
--
-- Cost     some microseconds: PostgreSQL makes it part of the expression that calls it
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
