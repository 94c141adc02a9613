-- Stores a one-time ticket. An EventSource that can send neither a header nor a cookie opens one stream with it.
--
--   digest            sha256 of the ticket; the ticket itself never reaches the database
--   recipient_id, issued_at, token_expires_at
--                     from the token with which the ticket was requested; its stream is bound to them. An issued_at that is more
--                     than a minute ahead is stored as a minute ahead, because otherwise no revocation would apply to the ticket
--   ttl               how long the ticket is valid: at most a minute, and never longer than the token
--
-- Returns when the ticket expires. Each call also deletes up to ten expired tickets.
--
-- Rights   bellwire_service
-- Remove   drop function bellwire.issue_ticket;
create or replace function bellwire.issue_ticket(
  digest           bytea,
  recipient_id     text,
  issued_at        timestamptz,
  token_expires_at timestamptz,
  ttl              interval
)
  returns timestamptz
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  in_a_minute constant timestamptz := clock_timestamp() + interval '60 s';
  until       constant timestamptz := least(clock_timestamp() + ttl, in_a_minute, issue_ticket.token_expires_at);
begin
  delete from bellwire.tickets
   where digest in (
           select t.digest
             from bellwire.tickets t
            where t.expires_at < clock_timestamp()
            order by t.expires_at
            limit 10
              for update skip locked
         );
  insert into bellwire.tickets (digest, recipient_id, issued_at, token_expires_at, expires_at)
  values (
    issue_ticket.digest,
    issue_ticket.recipient_id,
    case when issue_ticket.issued_at > in_a_minute then in_a_minute else issue_ticket.issued_at end,
    issue_ticket.token_expires_at,
    until
  );
  return until;
end;
$$;

comment on function bellwire.issue_ticket is
  'Internal. Stores a one-time ticket by its digest; returns when it expires.';

revoke all on function bellwire.issue_ticket from public;
grant execute on function bellwire.issue_ticket to bellwire_service;
