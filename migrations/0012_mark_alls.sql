-- The last large mark-all of each recipient. Readers get it as one event instead of row by row.
--
-- Locks    none on existing tables. bellwire.unseen_of() is dropped here and made anew by sql/, in the same transaction, with
--          one argument more
-- Remove   with the schema

-- May be emptied at any time: readers then get the rows.
create table bellwire.mark_alls (
  recipient_id    text        not null,
  marked_xid      xid8        not null,
  before_id       bigint      not null,  -- the greatest id of what was marked
  seen_at         timestamptz not null,
  read_at         timestamptz,           -- null: marked as seen
  -- The transactions that had last changed the marked rows: the newest 100, and the next older one.
  replaced        xid8[]      not null,
  older_replaced  xid8,
  constraint mark_alls_pkey primary key (recipient_id)
);

comment on table bellwire.mark_alls is
  'The last large mark-all of each recipient: see bellwire.mark_all(). May be emptied at any time.';

-- The feed: the same for all recipients.
create index mark_alls_marked_xid_idx
  on bellwire.mark_alls (marked_xid);

drop function if exists bellwire.unseen_of;
