-- Whether a reader at a position can get a mark-all as one event. It can if it has each state that the mark-all replaced, and
-- has no other unread notification up to the same id, because it would mark that one too.
--
-- A mark-all stores the newest 100 transactions that it replaced, and the next older one. The reader counts as having all older ones
-- if no transaction that was in progress at its position is as old as that one.
--
-- Cost     one probe of the recipient's unread notifications, of which few are left up to that id
-- Rights   bellwire_service
-- Remove   drop function bellwire.can_send_as_one_event;
create or replace function bellwire.can_send_as_one_event(mark bellwire.mark_alls, since pg_snapshot)
  returns boolean
  language sql
  stable
begin atomic
  select (mark.older_replaced < pg_snapshot_xmin(since)) is not false
         and not exists (
               select
                 from unnest(mark.replaced) as replaced (xid)
                where not pg_visible_in_snapshot(replaced.xid, since)
             )
         and not exists (
               select
                 from bellwire.notifications n
                where n.recipient_id = mark.recipient_id
                  and n.read_at is null
                  and n.archived_at is null
                  and n.id <= mark.before_id
                  and (mark.read_at is not null or n.seen_at is null)
                  and pg_visible_in_snapshot(n.changed_xid, since)
             );
end;

comment on function bellwire.can_send_as_one_event is
  'Internal. Whether a reader can get a mark-all as one event.';

revoke all on function bellwire.can_send_as_one_event from public;
grant execute on function bellwire.can_send_as_one_event to bellwire_service;
