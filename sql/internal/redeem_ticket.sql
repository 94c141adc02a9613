-- Uses up a ticket: whose it was, or no row where it is unknown, used, or too old. Of two who come with the same one, on
-- whatever instances, one gets the row.
--
-- Whether the recipient was revoked since `issued_at` is for the caller to ask, as it does of a token.
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
