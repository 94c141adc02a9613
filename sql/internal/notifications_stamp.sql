-- Sets the columns that every change of a notification must set, even a change by hand in psql.
--
--   changed_xid  the transaction of the change; readers find the change by it
--   created_xid  the same, if the row is given to another recipient: it is new there (bellwire.notifications_removed())
--   seen_at      a notification that is read is also seen, so all unseen ones are unread
--
-- Fires    before the update of each row that differs. It does not fire if the update writes one of the transaction ids, as
--          bellwire.adopt_restored_rows() does, which sets both.
-- Remove   drop trigger notifications_stamp on bellwire.notifications;
--          drop function bellwire.notifications_stamp();
create or replace function bellwire.notifications_stamp()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  new.changed_xid := pg_current_xact_id();
  if old.recipient_id is distinct from new.recipient_id or old.id <> new.id then
    new.created_xid := new.changed_xid;
  end if;
  if new.read_at is not null then
    new.seen_at := coalesce(new.seen_at, new.read_at);
  end if;
  return new;
end;
$$;

comment on function bellwire.notifications_stamp() is
  'Internal. Trigger: stores the transaction of a change, and marks what is read as seen.';

revoke all on function bellwire.notifications_stamp() from public;

create or replace trigger notifications_stamp
  before update on bellwire.notifications
  for each row
  when (
    old.created_xid = new.created_xid
    and old.changed_xid = new.changed_xid
    and old.* is distinct from new.*
  )
  execute function bellwire.notifications_stamp();
