-- Records the notifications that recipients no longer have, so that readers remove them: see bellwire.removals.
--
-- Deleted rows are recorded once per statement, also those of prune() and of a DELETE in psql. A row whose recipient_id was changed is
-- recorded by a row trigger, because such rows are few, and other updates do not fire that trigger. TRUNCATE removes too many rows to
-- record. It begins another history (bellwire.epoch()), and open pages fetch their list again.
--
-- Fires    once per DELETE statement, and for each row that an UPDATE gives to another recipient; TRUNCATE
-- Cost     one row of bellwire.removals for each; one wake-up
-- Remove   drop function bellwire.notifications_removed() cascade;
-- requires: wake_listeners.sql
create or replace function bellwire.notifications_removed()
  returns trigger
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    insert into bellwire.removals (recipient_id, notification_id)
    select r.recipient_id, r.id
      from removed r
        on conflict do nothing;  -- one transaction gave it away, back, and deleted it
    if found then
      perform bellwire.wake_listeners();
    end if;
  elsif tg_op = 'UPDATE' then
    -- The update itself wakes the listeners.
    insert into bellwire.removals (recipient_id, notification_id)
    values (old.recipient_id, old.id)
        on conflict do nothing;
  else
    perform bellwire.wake_listeners();
  end if;
  return null;
end;
$$;

comment on function bellwire.notifications_removed() is
  'Internal. Trigger: records removed notifications, so that readers are told.';

revoke all on function bellwire.notifications_removed() from public;

create or replace trigger notifications_removed
  after delete on bellwire.notifications
  referencing old table as removed
  for each statement
  execute function bellwire.notifications_removed();

create or replace trigger notifications_moved
  after update on bellwire.notifications
  for each row
  when (old.recipient_id is distinct from new.recipient_id or old.id <> new.id)
  execute function bellwire.notifications_removed();

create or replace trigger notifications_truncated
  after truncate on bellwire.notifications
  for each statement
  execute function bellwire.notifications_removed();
