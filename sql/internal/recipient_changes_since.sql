-- What a snapshot could not see of one recipient; bellwire.changes_for() explains the columns.
--
-- It returns ids only. It has no settings, so that PostgreSQL can inline it into the query that calls it.
--
-- With a `mark` (a mark-all that the reader gets as one event) it leaves out the rows that are as that mark left them.
--
-- Cost     two index probes, and two for each transaction in progress in `since`
-- Rights   bellwire_service
-- Remove   drop function bellwire.recipient_changes_since;
-- requires: is_as_marked.sql
create or replace function bellwire.recipient_changes_since(
  for_recipient     text,
  since             pg_snapshot,
  since_xmax        xid8,
  since_in_progress xid8[],
  mark              bellwire.mark_alls
)
  returns table (stage integer, id bigint, created_xid xid8, changed_xid xid8)
  language sql
  stable
begin atomic
  select case when pg_visible_in_snapshot(n.created_xid, since) then 2 else 1 end,
         n.id,
         n.created_xid,
         n.changed_xid
    from (
           select m.id, m.created_xid, m.changed_xid, m.seen_at, m.read_at, m.archived_at
             from bellwire.notifications m
            where m.recipient_id = for_recipient
              and m.changed_xid >= since_xmax
            union all
           select p.*
             from unnest(since_in_progress) as missing (xid)
            -- One index probe per transaction. With = any(), the planner would read all rows of the recipient in a table that few
            -- transactions have written (an import).
            cross join lateral (
                    select m.id, m.created_xid, m.changed_xid, m.seen_at, m.read_at, m.archived_at
                      from bellwire.notifications m
                     where m.recipient_id = for_recipient
                       and m.changed_xid = missing.xid
                    offset 0
                  ) p
         ) n
   where (
           n.changed_xid = mark.marked_xid
           and pg_visible_in_snapshot(n.created_xid, since)
           and bellwire.is_as_marked(mark, n.id, n.seen_at, n.read_at, n.archived_at)
         ) is not true
   union all
  select -1, mark.before_id, mark.marked_xid, mark.marked_xid
   where mark.marked_xid is not null
   union all
  select 0, x.notification_id, x.removed_xid, x.removed_xid
    from (
           select r.notification_id, r.removed_xid
             from bellwire.removals r
            where r.recipient_id = for_recipient
              and r.removed_xid >= since_xmax
            union all
           select p.notification_id, p.removed_xid
             from unnest(since_in_progress) as missing (xid)
            cross join lateral (
                    select r.notification_id, r.removed_xid
                      from bellwire.removals r
                     where r.recipient_id = for_recipient
                       and r.removed_xid = missing.xid
                    offset 0
                  ) p
         ) x
   -- Not if `since` has seen that the notification was given back. A position that was too long for an id was shortened, so it may
   -- have seen only the later of the two changes.
   where not exists (
           select
             from bellwire.notifications n
            where n.id = x.notification_id
              and n.recipient_id = for_recipient
              and pg_visible_in_snapshot(n.created_xid, since)
         );
end;

comment on function bellwire.recipient_changes_since is
  'Internal. What a snapshot could not see of one recipient: part of bellwire.changes_for().';

revoke all on function bellwire.recipient_changes_since from public;
grant execute on function bellwire.recipient_changes_since to bellwire_service;
