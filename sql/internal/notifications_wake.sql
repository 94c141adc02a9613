-- Wakes the Bellwire processes when notifications change: read, seen or archived, by the service or in psql.
--
-- An insert does not fire it: the rule that inserts wakes the listeners itself, and only if it has inserted a row.
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
