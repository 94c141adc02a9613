-- After a restore into a new cluster, rows carry transaction ids that this server has not reached yet, and every reader would
-- count them as not committed. This resets those ids, so that the rows count as delivered long ago and are not announced again.
--
-- Removals and mark-alls with such ids are deleted: no client needs them, because every client is reset (`epoch_changed`). The
-- service calls this when it starts and after each reconnect. Returns how many notifications it changed.
--
-- Cost     one index probe if there is nothing to do
-- Rights   bellwire_service
-- Remove   drop function bellwire.adopt_restored_rows();
create or replace function bellwire.adopt_restored_rows()
  returns bigint
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  -- Where an index is missing, enable_seqscan = off adds a cost that PostgreSQL takes for a reason to compile: for 100 ms, with each start.
  set jit = off
as $$
declare
  oldest  constant xid8 := '3';  -- the first id that a cluster assigns
  adopted bigint;
begin
  -- pg_current_snapshot() is called in the statement that finds the rows. A snapshot taken one statement earlier would
  -- miss a transaction that commits in between: its rows would be reset here, and never delivered.
  if not exists (select from bellwire.notifications where changed_xid >= pg_snapshot_xmax(pg_current_snapshot()))
     -- Rows that were restored, and changed here since.
     and not exists (
           select
             from bellwire.notifications
            where created_xid > changed_xid
              and created_xid >= pg_snapshot_xmax(pg_current_snapshot())
         )
     and not exists (select from bellwire.removals where removed_xid >= pg_snapshot_xmax(pg_current_snapshot()))
     and not exists (select from bellwire.mark_alls where marked_xid >= pg_snapshot_xmax(pg_current_snapshot()))
     and not exists (select from bellwire.revocations where revoked_xid >= pg_snapshot_xmax(pg_current_snapshot()))
     and not exists (select from bellwire.retention where pruned_xid >= pg_snapshot_xmax(pg_current_snapshot()))
     and coalesce(pg_sequence_last_value('bellwire.history_began_xid'), 0)::text::xid8
           < pg_snapshot_xmax(pg_current_snapshot())
  then
    return 0;
  end if;
  delete from bellwire.removals
   where removed_xid >= pg_snapshot_xmax(pg_current_snapshot());
  delete from bellwire.mark_alls
   where marked_xid >= pg_snapshot_xmax(pg_current_snapshot());
  update bellwire.revocations
     set revoked_xid = oldest
   where revoked_xid >= pg_snapshot_xmax(pg_current_snapshot());
  update bellwire.retention
     set pruned_xid = oldest
   where pruned_xid >= pg_snapshot_xmax(pg_current_snapshot());
  if pg_sequence_last_value('bellwire.history_began_xid')::text::xid8 >= pg_snapshot_xmax(pg_current_snapshot()) then
    perform setval('bellwire.history_began_xid', pg_current_xact_id()::text::bigint);
  end if;
  update bellwire.notifications
     set created_xid = oldest,
         changed_xid = oldest
   where changed_xid >= pg_snapshot_xmax(pg_current_snapshot())
      or created_xid >= pg_snapshot_xmax(pg_current_snapshot());
  get diagnostics adopted = row_count;
  return adopted;
end;
$$;

comment on function bellwire.adopt_restored_rows() is
  'Internal. After a restore, resets transaction ids that this server has not reached yet. Returns how many rows it changed.';

revoke all on function bellwire.adopt_restored_rows() from public;
grant execute on function bellwire.adopt_restored_rows() to bellwire_service;
