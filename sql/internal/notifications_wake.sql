-- Wakes the Bellwire processes when notifications were changed: read, seen, archived, here or in psql.
--
-- Inserts do not pass here: the rule that made them wakes the listeners itself, and only when it made any.
--
-- Fires    once per UPDATE statement that changed a row
-- Channel  bellwire, see bellwire.wake_listeners()
-- Remove   drop trigger notifications_wake on bellwire.notifications;
--          drop function bellwire.notifications_wake();
create or replace function bellwire.notifications_wake()
  returns trigger
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from changed) then
    perform bellwire.wake_listeners();
  end if;
  return null;
end;
$$;

comment on function bellwire.notifications_wake() is
  'Internal. Trigger: wakes the Bellwire processes when notifications change.';

revoke all on function bellwire.notifications_wake() from public;

create or replace trigger notifications_wake
  after update on bellwire.notifications
  referencing new table as changed
  for each statement
  execute function bellwire.notifications_wake();
