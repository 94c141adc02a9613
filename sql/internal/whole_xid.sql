-- The transaction id with its epoch for the id in a row's xmin, which lacks it. Null for a row that belongs to no transaction. In a row
-- that is older than 2 billion transactions it is wrong.
--
-- Rights   called by bellwire.explain()
-- Remove   with the schema
create or replace function bellwire.whole_xid(short xid)
  returns xid8
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
           when short::text::bigint >= 3
             then (latest - mod(mod(latest, 4294967296) - short::text::bigint + 4294967296, 4294967296))::text::xid8
         end
    from (select pg_snapshot_xmax(pg_current_snapshot())::text::numeric) as s (latest);
$$;

comment on function bellwire.whole_xid(xid) is
  'Internal. The transaction id with its epoch for the id in a row''s xmin.';

revoke all on function bellwire.whole_xid(xid) from public;
