-- The last mark-all of each recipient that marked many: readers are told of it in one word, not row by row.
--
-- Locks    none on existing tables. bellwire.unseen_of() is dropped here and made anew by sql/, in the same transaction, with
--          one argument more
-- Remove   with the schema

-- Whoever cannot be told so reads the rows, so this may be emptied at any time.
create table bellwire.mark_alls (
  recipient_id    text        not null,
  marked_xid      xid8        not null,
  before_id       bigint      not null,  -- the greatest id of what was marked
  seen_at         timestamptz not null,
  read_at         timestamptz,           -- null: marked as seen
  -- Which transactions had left what it marked as it was: the newest of them, and where there are more, the next.
  replaced        xid8[]      not null,
  older_replaced  xid8,
  constraint mark_alls_pkey primary key (recipient_id)
);

comment on table bellwire.mark_alls is
  'The last mark-all of each recipient that marked many: see bellwire.mark_all(). May be emptied at any time.';

-- The feed: the same for all recipients.
create index mark_alls_marked_xid_idx
  on bellwire.mark_alls (marked_xid);

drop function if exists bellwire.unseen_of;
