-- What prune() has deleted, so that a reader who comes too late is told; whether wake-ups are sent; and an index of
-- the rows that carry a greater transaction id than their last change's.
--
-- Locks    share on bellwire.notifications while the index is built: writers of notifications wait.
--          bellwire.changes_since() is dropped here and made anew by sql/, in the same transaction, because
--          its result has one column more
-- Remove   with the schema

-- One row: the newest transaction whose notifications bellwire.prune() has deleted.
create table bellwire.retention (
  is_only    boolean not null default true,
  pruned_xid xid8    not null default '0',
  constraint retention_pkey primary key (is_only),
  constraint retention_is_only_check check (is_only)
);

insert into bellwire.retention default values;

comment on table bellwire.retention is
  'One row: the newest transaction whose notifications bellwire.prune() has deleted. A cursor from before it is expired.';

-- Milliseconds since 1970 by the server's clock. A sequence, because it is read and written outside transactions:
-- a trigger sees it at once, whatever its isolation level, for the price of reading one buffer.
create sequence bellwire.wakeups_suspended_until_ms
  as bigint
  minvalue 0
  start with 0;

comment on sequence bellwire.wakeups_suspended_until_ms is
  'Until then no wake-up is sent. The greatest bigint means for good: bellwire.suspend_wakeups().';

-- The newest position (createChangesReader's now(), bellwire.adopt_restored_rows()): a row may have been changed last by
-- a transaction that began before the one that inserted it. Those are few, and an insert adds none.
create index notifications_created_xid_idx
  on bellwire.notifications (created_xid)
  where created_xid > changed_xid;

drop function if exists bellwire.changes_since(pg_snapshot, text, pg_snapshot, boolean, bigint, integer);
