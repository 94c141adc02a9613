-- Whether a position is expired: notifications that it could not see were pruned, so a read from there may lack some.
-- `since_xmax` and `since_in_progress` are parts of the position; `pruned_xid` comes from bellwire.newest_change().
--
-- It returns a table, because PostgreSQL inlines a function with a subquery only in FROM.
--
-- Cost     none beyond a look at each transaction in progress in the position
-- Rights   bellwire_service
-- Remove   drop function bellwire.expiry_of;
create or replace function bellwire.expiry_of(since_xmax xid8, since_in_progress xid8[], pruned_xid xid8)
  returns table (is_expired boolean)
  language sql
  stable
  parallel safe
begin atomic
  select pruned_xid >= since_xmax
         or exists (
              select
                from unnest(since_in_progress) as missing (xid)
               where missing.xid <= pruned_xid
                 -- No row of a transaction that is still in progress was pruned.
                 and pg_visible_in_snapshot(missing.xid, pg_current_snapshot())
            );
end;

comment on function bellwire.expiry_of is
  'Internal. Whether notifications that a position had not seen have been pruned.';

revoke all on function bellwire.expiry_of from public;
grant execute on function bellwire.expiry_of to bellwire_service;
