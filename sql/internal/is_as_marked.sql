-- Whether a notification is as a mark-all left it. A reader that gets the mark-all as one event does not get such a row too.
-- The caller has compared the transactions already: it finds rows by them.
--
-- It compares the mark's own times. A `seen_at` that the same transaction sets by hand afterwards goes unnoticed.
--
-- Cost     none: PostgreSQL makes it part of the expression that calls it
-- Rights   bellwire_service
-- Remove   drop function bellwire.is_as_marked;
create or replace function bellwire.is_as_marked(mark bellwire.mark_alls, id bigint, seen_at timestamptz, read_at timestamptz, archived_at timestamptz)
  returns boolean
  language sql
  immutable
  parallel safe
  return id <= mark.before_id
         and archived_at is null
         and case
               when mark.read_at is null then read_at is null and seen_at = mark.seen_at
               else read_at = mark.read_at
             end;

comment on function bellwire.is_as_marked is
  'Internal. Whether a notification is as a mark-all left it.';

revoke all on function bellwire.is_as_marked from public;
grant execute on function bellwire.is_as_marked to bellwire_service;
