-- Names the history that transaction ids belong to: this cluster, its timeline, this database, this table.
--
-- After a dump and restore, a point-in-time recovery or a failover, ids count anew and a cursor from
-- before means nothing; then the epoch differs and the client is told with `reset`. So it is where the table was
-- replaced or emptied (a restore over the same database): rows' ids may then come again. Its file tells; that is another,
-- too, after what rewrites the table: VACUUM FULL, CLUSTER, pg_repack.
-- On a standby it fails ("recovery is in progress"), on purpose: a standby's snapshots leave out
-- transactions that are still running, so a cursor made there would lose rows.
--
-- Cost     one read of the cluster's control file, about 20 us
-- Rights   bellwire_service
-- Remove   drop function bellwire.epoch();
create or replace function bellwire.epoch()
  returns text
  language sql
  volatile
  return left(md5(concat_ws(
           '/',
           (pg_control_system()).system_identifier,
           left(pg_walfile_name(pg_current_wal_lsn()), 8),          -- the timeline, at once after a promotion
           split_part(pg_relation_filepath('pg_class'), '/', -2),   -- the database's oid, as its folder is named
           -- Looked up by name at each call: a constant would tie the function to this very table.
           to_regclass('bellwire.notifications')::oid,
           pg_relation_filenode(to_regclass('bellwire.notifications'))
         )), 8);

comment on function bellwire.epoch() is
  'Internal. Identifies the history that transaction ids belong to (cluster, timeline, database, table). Fails on a standby.';

revoke all on function bellwire.epoch() from public;
grant execute on function bellwire.epoch() to bellwire_service;
