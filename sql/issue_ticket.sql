-- Keeps a one-time ticket, with which an EventSource that can send neither header nor cookie opens one stream.
--
--   digest            sha256 of the ticket; the ticket itself never comes here
--   recipient_id, issued_at, token_expires_at
--                     of the token that the ticket was asked for with, and that its stream will be bound to
--   ttl               how long it may be redeemed; never beyond the token
--
-- Returns until when. Each call also forgets up to ten tickets that nobody came with.
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
  until constant timestamptz := least(clock_timestamp() + ttl, issue_ticket.token_expires_at);
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
  values (issue_ticket.digest, issue_ticket.recipient_id, issue_ticket.issued_at, issue_ticket.token_expires_at, until);
  return until;
end;
$$;

comment on function bellwire.issue_ticket is
  'Keeps a one-time ticket by its digest; returns until when it may be redeemed.';

revoke all on function bellwire.issue_ticket from public;
grant execute on function bellwire.issue_ticket to bellwire_service;
