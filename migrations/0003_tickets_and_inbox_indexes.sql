-- Tickets that open a stream once, and the indexes of the inbox's filters.
--
-- Locks    share on bellwire.notifications while two indexes are built, then access exclusive for as long as dropping
--          one takes: writers of notifications wait
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

-- The badge, and the unread page, newest first. In the place of (recipient_id, seen_at), which gave only the badge.
create index notifications_recipient_id_id_unread_idx
  on bellwire.notifications (recipient_id, id)
  include (seen_at)
  where read_at is null and archived_at is null;

drop index bellwire.notifications_recipient_id_seen_at_idx;

-- The archived page, of however many others. Nothing enters it when a notification is inserted.
create index notifications_recipient_id_id_archived_idx
  on bellwire.notifications (recipient_id, id)
  where archived_at is not null;
