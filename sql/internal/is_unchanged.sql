-- Whether a recipient has exactly the notifications of an earlier snapshot, each in the same state: then the counts are the same too.
-- `pruned_xid` comes from bellwire.newest_change().
--
-- The snapshot must be of this history, and not ahead of the server. It returns a table, because PostgreSQL inlines a function with a
-- subquery only in FROM.
--
-- Cost     two index probes, and two for each transaction in progress in `since`
-- Rights   bellwire_service
-- Remove   drop function bellwire.is_unchanged;
-- requires: expiry_of.sql
-- requires: recipient_changes_since.sql
create or replace function bellwire.is_unchanged(for_recipient text, since pg_snapshot, pruned_xid xid8)
  returns table (is_unchanged boolean)
  language sql
  stable
begin atomic
  -- After a prune, removals since the snapshot may be gone.
  select not x.is_expired
         and not exists (
               select
                 from bellwire.recipient_changes_since(
                        for_recipient,
                        since,
                        pg_snapshot_xmax(since),
                        array(select pg_snapshot_xip(since)),
                        null
                      )
             )
    from bellwire.expiry_of(pg_snapshot_xmax(since), array(select pg_snapshot_xip(since)), pruned_xid) x;
end;

comment on function bellwire.is_unchanged is
  'Internal. Whether none of a recipient''s notifications has come, changed or gone since a snapshot.';

revoke all on function bellwire.is_unchanged from public;
grant execute on function bellwire.is_unchanged to bellwire_service;
