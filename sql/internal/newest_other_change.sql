-- Returns the highest transaction id of what readers get besides new and changed notifications: removals, mark-alls, revocations and pruned
-- rows; 0 if there is none.
--
-- It returns a table and has no settings, so that PostgreSQL can inline it into a query that calls it in FROM.
--
-- Cost     one probe at the end of each of three indexes
-- Rights   bellwire_service
-- Remove   drop function bellwire.newest_other_change;
create or replace function bellwire.newest_other_change()
  returns table (newest xid8)
  language sql
  stable
  parallel safe
begin atomic
  select greatest(
           -- A deleted notification leaves a removal, so that positions advance.
           (select r.removed_xid from bellwire.removals r order by r.removed_xid desc limit 1),
           (select m.marked_xid from bellwire.mark_alls m order by m.marked_xid desc limit 1),
           (select v.revoked_xid from bellwire.revocations v order by v.revoked_xid desc limit 1),
           (select k.pruned_xid from bellwire.retention k limit 1),
           -- A restore may have left no row.
           '0'
         );
end;

comment on function bellwire.newest_other_change is
  'Internal. The highest transaction id of what readers get besides new and changed notifications.';

revoke all on function bellwire.newest_other_change from public;
grant execute on function bellwire.newest_other_change to bellwire_service;
