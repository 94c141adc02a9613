-- Names the history that transaction ids belong to: this cluster, its timeline, this database.
--
-- After a dump and restore, a point-in-time recovery or a failover, ids count anew and a cursor from
-- before means nothing; then the epoch differs and the client is told with `reset`.
-- On a standby it fails ("recovery is in progress"), on purpose: a standby's snapshots leave out
-- transactions that are still running, so a cursor made there would lose rows.
--
-- Cost     one read of the cluster's control file, about 20 µs
-- Rights   bellwire_service
-- Remove   drop function bellwire.epoch();
create or replace function bellwire.epoch()
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select left(md5(concat_ws(
           '/',
           (select system_identifier from pg_control_system()),
           left(pg_walfile_name(pg_current_wal_lsn()), 8),  -- the timeline, at once after a promotion
           (select oid from pg_database where datname = current_database())
         )), 8);
$$;

comment on function bellwire.epoch() is
  'Names the history that transaction ids belong to (cluster, timeline, database). Fails on a standby.';

revoke all on function bellwire.epoch() from public;
grant execute on function bellwire.epoch() to bellwire_service;
