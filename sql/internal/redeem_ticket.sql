-- Uses up a ticket. Returns its recipient, or no row if the ticket is unknown, used or expired. If two requests bring the same
-- ticket, even to different instances, one of them gets the row.
--
-- The caller checks whether the recipient was revoked since `issued_at`, as it does for a token.
--
-- Rights   bellwire_service
-- Remove   drop function bellwire.redeem_ticket;
create or replace function bellwire.redeem_ticket(digest bytea)
  returns table (recipient_id text, issued_at timestamptz, token_expires_at timestamptz)
  language sql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
  delete from bellwire.tickets t
   where t.digest = redeem_ticket.digest
     and t.expires_at > clock_timestamp()
  returning t.recipient_id, t.issued_at, t.token_expires_at;
$$;

comment on function bellwire.redeem_ticket is
  'Internal. Uses up a one-time ticket; returns its recipient, or no row if it is unknown, used or expired.';

revoke all on function bellwire.redeem_ticket from public;
grant execute on function bellwire.redeem_ticket to bellwire_service;
