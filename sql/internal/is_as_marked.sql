-- Whether a notification is still as a mark-all left it. A reader that gets the mark-all as one event does not get such a row as well.
-- The caller compares the transactions.
--
-- It compares only the times of the mark. If it marked as read, and the same transaction then sets another `seen_at` by hand, that
-- is not noticed.
--
-- Cost     none: PostgreSQL inlines it into the expression that calls it
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
