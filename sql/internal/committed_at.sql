-- When a transaction committed. Null if nothing stores it: track_commit_timestamp is off, or was off then.
--
-- Rights   called by bellwire.explain()
-- Remove   with the schema
create or replace function bellwire.committed_at(transaction xid)
  returns timestamptz
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
           when current_setting('track_commit_timestamp') = 'on' and transaction::text::bigint >= 3
             then pg_xact_commit_timestamp(transaction)
         end;
$$;

comment on function bellwire.committed_at(xid) is
  'Internal. When a transaction committed, if something stores it.';

revoke all on function bellwire.committed_at(xid) from public;
