-- Returns the highest transaction id of any visible or pruned row that readers get: the position of a reader that has everything
-- ends there. Also returns the newest transaction whose notifications were pruned.
--
-- It reads the rows of all recipients, so that the position of a recipient without new rows advances too, and does not expire.
--
-- It has no settings, so that PostgreSQL can inline it into a query that calls it in FROM.
--
-- Cost     one probe at the end of each of five indexes
-- Rights   bellwire_service
-- Remove   drop function bellwire.newest_change;
-- requires: newest_other_change.sql
create or replace function bellwire.newest_change()
  returns table (newest xid8, pruned_xid xid8)
  language sql
  stable
  parallel safe
begin atomic
  select greatest(
           (select n.changed_xid from bellwire.notifications n order by n.changed_xid desc limit 1),
           -- A row's last change may come from a transaction that began before the one that inserted the row.
           (
             select n.created_xid
               from bellwire.notifications n
              where n.created_xid > n.changed_xid
              order by n.created_xid desc
              limit 1
           ),
           (select o.newest from bellwire.newest_other_change() o),
           pg_sequence_last_value('bellwire.history_began_xid')::text::xid8
         ),
         kept.pruned_xid
    -- A subselect, because it has a value even if a restore has left no row.
    from (select coalesce((select k.pruned_xid from bellwire.retention k limit 1), '0') as pruned_xid) kept;
end;

comment on function bellwire.newest_change is
  'Internal. The highest transaction id of any visible or pruned row, and the newest one whose rows were pruned.';

revoke all on function bellwire.newest_change from public;
grant execute on function bellwire.newest_change to bellwire_service;
