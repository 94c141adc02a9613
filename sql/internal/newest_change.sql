-- Returns the highest transaction id of any visible or pruned row that readers get: the position of a reader that has everything
-- ends there. Also returns the newest transaction of a removal, a mark-all, a revocation or a prune (`newest_other`), and the newest one
-- whose notifications were pruned; these two are 0 if there is none.
--
-- It reads the rows of all recipients, so that the position of a recipient without new rows advances too, and does not expire.
--
-- It has no settings, so that PostgreSQL can inline it into a query that calls it in FROM.
--
-- Cost     one probe at the end of each of five indexes
-- Rights   bellwire_service
-- Remove   drop function bellwire.newest_change;
create or replace function bellwire.newest_change()
  returns table (newest xid8, newest_other xid8, pruned_xid xid8)
  language sql
  stable
  parallel safe
begin atomic
  -- Materialized, so that each index is probed once.
  with ends as materialized (
    select (select n.changed_xid from bellwire.notifications n order by n.changed_xid desc limit 1) as changed_xid,
           -- A row's last change may come from a transaction that began before the one that inserted the row.
           (
             select n.created_xid
               from bellwire.notifications n
              where n.created_xid > n.changed_xid
              order by n.created_xid desc
              limit 1
           ) as created_xid,
           -- A deleted notification leaves a removal, so that positions advance.
           (select r.removed_xid from bellwire.removals r order by r.removed_xid desc limit 1) as removed_xid,
           (select m.marked_xid from bellwire.mark_alls m order by m.marked_xid desc limit 1) as marked_xid,
           (select v.revoked_xid from bellwire.revocations v order by v.revoked_xid desc limit 1) as revoked_xid,
           -- A restore may have left no row.
           coalesce((select k.pruned_xid from bellwire.retention k limit 1), '0') as pruned_xid,
           pg_sequence_last_value('bellwire.history_began_xid')::text::xid8 as began_xid
  )
  select greatest(e.changed_xid, e.created_xid, e.removed_xid, e.marked_xid, e.revoked_xid, e.pruned_xid, e.began_xid),
         greatest(e.removed_xid, e.marked_xid, e.revoked_xid, e.pruned_xid),
         e.pruned_xid
    from ends e;
end;

comment on function bellwire.newest_change is
  'Internal. The highest transaction id of any visible or pruned row; also without notifications, and only of prunes.';

revoke all on function bellwire.newest_change from public;
grant execute on function bellwire.newest_change to bellwire_service;
