-- Begins a new history after a restore over the same database: the service has found that the table was replaced or emptied.
-- Everything in it, and everything that the restore still brings, is old.
--
-- Positions then begin after this call's own transaction. They cannot begin at the newest row, because rows that are restored after
-- this call would then be announced. They cannot begin at the server's newest transaction either: if that was rolled back, its id
-- may be assigned again after a crash. This call's transaction commits, so its id is never assigned again.
--
-- Cost     one write of a sequence for each history; and bellwire.adopt_restored_rows()
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
  -- Only one call at a time, so that none sets the sequence back.
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
