-- The badge: how many notifications of a recipient are unread, and how many of those are unseen. It is counted here only.
--
-- It has no settings, so that PostgreSQL can inline it into a query that calls it in FROM.
--
-- Cost     one range of the index notifications_recipient_id_id_unread_idx; after a vacuum the table is not read
-- Rights   bellwire_service
-- Remove   drop function bellwire.count_unread;
create or replace function bellwire.count_unread(for_recipient text)
  returns table (unread bigint, unseen bigint)
  language sql
  stable
  parallel safe
begin atomic
  select count(*),
         count(*) filter (where n.seen_at is null)
    from bellwire.notifications n
   where n.recipient_id = for_recipient
     and n.read_at is null
     and n.archived_at is null;
end;

comment on function bellwire.count_unread is
  'Internal. The badge: how many of a recipient''s notifications are unread, and how many of those are unseen.';

revoke all on function bellwire.count_unread from public;
grant execute on function bellwire.count_unread to bellwire_service;
