-- Begins a history anew, because the service has found that the table was replaced or emptied (a restore over the same
-- database): whatever it holds, and whatever the restore still brings, is old.
--
-- Positions then begin past this call's own transaction. At the newest row they could begin before rows that are still to
-- be restored, which would ring; at the server's newest transaction, past one that was rolled back, whose id a crash may
-- give again. This one commits, and its id is never given again.
--
-- Cost     one sequence written, once a history; and bellwire.adopt_restored_rows()
-- Rights   bellwire_service
-- Remove   drop function bellwire.begin_history();
-- requires: adopt_restored_rows.sql
create or replace function bellwire.begin_history()
  returns void
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- One after the other, so that nobody sets it back.
  perform from bellwire.retention for update;
  perform bellwire.adopt_restored_rows();
  perform setval(
    'bellwire.history_began_xid',
    greatest(pg_sequence_last_value('bellwire.history_began_xid'), pg_current_xact_id()::text::bigint)
  );
end;
$$;

comment on function bellwire.begin_history() is
  'Internal. After a restore over the same database, makes cursors begin after everything that is restored.';

revoke all on function bellwire.begin_history() from public;
grant execute on function bellwire.begin_history() to bellwire_service;
