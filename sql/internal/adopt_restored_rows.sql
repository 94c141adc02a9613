-- Makes peace with rows from another history: after a restore into a new cluster, rows carry transaction
-- ids this server has not reached yet, and readers would take them for unborn.
--
-- They become old rows, seen by every snapshot: nothing is rung again. What was removed or marked there is forgotten, for every
-- client is reset (`epoch_changed`). The service calls this when it starts and after every reconnect. Returns how many rows it
-- adopted.
--
-- Cost     one index probe where there is nothing to do
-- Rights   bellwire_service
-- Remove   drop function bellwire.adopt_restored_rows();
create or replace function bellwire.adopt_restored_rows()
  returns bigint
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  oldest  constant xid8 := '3';  -- the first id any cluster gives
  adopted bigint;
begin
  -- The horizon must be of the very snapshot that finds the rows. One taken a statement earlier would be
  -- behind a transaction that commits in between, whose rows would be adopted and never delivered.
  if not exists (select from bellwire.notifications where changed_xid >= pg_snapshot_xmax(pg_current_snapshot()))
     -- restored, and changed here since
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
