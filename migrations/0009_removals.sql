-- What recipients no longer have: deleted, pruned, or given to somebody else. Readers are told, and take it off their pages.
--
-- Locks    none on existing tables. bellwire.changes_since() and changes_for() are dropped here and made anew by sql/, in the
--          same transaction, because their arguments and their results are others
-- Remove   with the schema

-- No foreign key: most of these notifications are gone.
create table bellwire.removals (
  recipient_id    text        not null,  -- whose it was
  removed_xid     xid8        not null default pg_current_xact_id(),
  notification_id bigint      not null,
  removed_at      timestamptz not null default clock_timestamp(),
  -- Also a replay's index: what one recipient has lost since a snapshot.
  constraint removals_pkey primary key (recipient_id, removed_xid, notification_id)
);

comment on table bellwire.removals is
  'Notifications that a recipient no longer has: deleted, pruned or moved. Kept as long as notifications; see bellwire.prune().';

-- The feed: the same for all recipients. And the oldest, for bellwire.prune().
create index removals_removed_xid_idx
  on bellwire.removals (removed_xid);

drop function if exists bellwire.changes_since;
drop function if exists bellwire.changes_for;
