-- Whether a row belongs to a read that began at `moment` and continues at `present`.
--
-- A later page of a read has only rows that the read's first page could see. A changed row (stage 2) is read as it is now, because at
-- the end of the read its reader must have the state of that moment or a later one. On a first page this excludes only rows of another
-- history (a restored dump), whose transaction ids this server has not reached.
--
-- Cost     none: PostgreSQL inlines it into the expression that calls it
-- Rights   bellwire_service
-- Remove   drop function bellwire.is_in_read;
create or replace function bellwire.is_in_read(stage integer, created_xid xid8, changed_xid xid8, moment pg_snapshot, present pg_snapshot)
  returns boolean
  language sql
  immutable
  parallel safe
  return pg_visible_in_snapshot(
           case stage when 1 then created_xid else changed_xid end,
           case stage when 2 then present else moment end
         );

comment on function bellwire.is_in_read is
  'Internal. Whether a row belongs to a page of a read that began at an earlier moment.';

revoke all on function bellwire.is_in_read from public;
grant execute on function bellwire.is_in_read to bellwire_service;
