-- Whether no wake-ups are sent just now: whether bellwire.wakeups_suspended_ms() is above 0.
--
-- Asked by every insert that makes notifications, so while a lease runs it reads one sequence once, and does without the
-- milliseconds.
--
-- Cost     some microseconds: it becomes part of the expression that calls it
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
             '{0, 1000}'::double precision[]  -- past, a lease, further than any
           ) = 1
           or pg_sequence_last_value('bellwire.wakeups_suspended_for_good') = 1
         ) is true;  -- before the first setval() there is no value

comment on function bellwire.wakeups_are_suspended() is
  'Internal. Whether wake-ups are suspended, by a lease or for good.';

revoke all on function bellwire.wakeups_are_suspended() from public;
grant execute on function bellwire.wakeups_are_suspended() to bellwire_rules;
