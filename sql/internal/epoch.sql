-- Identifies the history that transaction ids belong to: this cluster, its timeline, this database, this table.
--
-- After a dump and restore, a point-in-time recovery or a failover, the same transaction ids mean other transactions, so an older
-- cursor is meaningless. The epoch then differs, and the client gets a `reset`. The same happens if the table was replaced or emptied
-- (a restore over the same database), because the ids of rows may then be used again. The name of the table's file shows that. It
-- also changes when the table is rewritten: VACUUM FULL, CLUSTER, pg_repack.
--
-- On a standby it fails on purpose ("recovery is in progress"): a standby's snapshots do not list all transactions that are in
-- progress, so a cursor from there would lose rows.
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
           left(pg_walfile_name(pg_current_wal_lsn()), 8),          -- the timeline, which changes at once at a promotion
           split_part(pg_relation_filepath('pg_class'), '/', -2),   -- the database's oid, which is the name of its folder
           -- Looked up by name at each call, because a constant would refer to the present table even after it was replaced.
           to_regclass('bellwire.notifications')::oid,
           pg_relation_filenode(to_regclass('bellwire.notifications'))
         )), 8);

comment on function bellwire.epoch() is
  'Internal. Identifies the history that transaction ids belong to (cluster, timeline, database, table). Fails on a standby.';

revoke all on function bellwire.epoch() from public;
grant execute on function bellwire.epoch() to bellwire_service;
