-- How old a notification is before prune() may take it, set by the owner; and a sequence of its own for wake-ups that are
-- suspended for good, so that no lease of the service can overwrite it and nobody has to wait for a lock.
--
-- Locks    access exclusive on bellwire.retention (one row) for a moment: readers and prune() wait
-- Remove   with the schema

alter table bellwire.retention
  add column minimum_age interval not null default '1 day',
  add constraint retention_minimum_age_check check (minimum_age >= interval '0');

comment on column bellwire.retention.minimum_age is
  'What is younger bellwire.prune() refuses to delete. The service cannot change it.';

-- A sequence for the reasons that wakeups_suspended_until_ms is one.
create sequence bellwire.wakeups_suspended_for_good
  as smallint
  minvalue 0
  maxvalue 1
  start with 0;

comment on sequence bellwire.wakeups_suspended_for_good is
  '1 from bellwire.suspend_wakeups() to bellwire.resume_wakeups().';

comment on sequence bellwire.wakeups_suspended_until_ms is
  'Until then no wake-up is sent: a lease of bellwire.suspend_wakeups_for(), a second at the most.';

-- Suspended for good was the greatest bigint until now.
select setval('bellwire.wakeups_suspended_for_good', 1)
 where pg_sequence_last_value('bellwire.wakeups_suspended_until_ms') = 9223372036854775807;

drop function if exists bellwire.wakeups_lock();
