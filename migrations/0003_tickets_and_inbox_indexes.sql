-- Tickets that open a stream once, and the indexes of the inbox's filters.
--
-- Locks    share on bellwire.notifications while three indexes are built, then access exclusive for as long as dropping
--          two takes: writers of notifications wait
-- Remove   with the schema

-- Unlogged: a ticket lives 30 s, and after a crash its client asks for another.
create unlogged table bellwire.tickets (
  digest           bytea       not null,  -- sha256 of the ticket, which is nowhere but with its client
  recipient_id     text        not null,
  issued_at        timestamptz not null,  -- when the token was issued that bought it: bellwire.revoke() refuses both
  token_expires_at timestamptz not null,
  expires_at       timestamptz not null,
  constraint tickets_pkey primary key (digest)
);

comment on table bellwire.tickets is
  'One-time tickets that are not redeemed yet. Written by bellwire.issue_ticket(), used up by bellwire.redeem_ticket().';

-- Forgetting those that nobody came with (bellwire.issue_ticket()).
create index tickets_expires_at_idx
  on bellwire.tickets (expires_at);

-- The inbox: one recipient's page of what is not archived, newest first, however much is. In the place of one of everything,
-- which walked over all that is archived. Not said as `archived_at is null`, for then the planner would take it for the
-- unread page as well, and walk over all that is read.
create index notifications_recipient_id_id_open_idx
  on bellwire.notifications (recipient_id, id)
  where num_nonnulls(archived_at) = 0;

drop index bellwire.notifications_recipient_id_id_idx;

-- The badge, and the unread page. In the place of (recipient_id, seen_at), which gave only the badge.
create index notifications_recipient_id_id_unread_idx
  on bellwire.notifications (recipient_id, id)
  include (seen_at)
  where read_at is null and archived_at is null;

drop index bellwire.notifications_recipient_id_seen_at_idx;

-- The archived page. Nothing enters it when a notification is inserted.
create index notifications_recipient_id_id_archived_idx
  on bellwire.notifications (recipient_id, id)
  where archived_at is not null;
