-- Everything in schema bellwire that holds data. The functions, triggers and views on top of it are in sql/.
-- Over 200 lines, because nothing was released before: a first database needs one file, and later changes get files of their own.
--
--   notifications       one row for each notification of one recipient
--   preferences         the notification types that a recipient has muted
--   revocations         recipients whose access was revoked, and when
--   removals            notifications that a recipient no longer has, so that open pages remove them
--   mark_alls           the last large "mark all as read" or "as seen" of each recipient
--   tickets             one-time tickets that open an event stream and were not used yet
--   retention           one row: how far bellwire.prune() has deleted, and the minimum age of what it may delete
--   rule_definitions    the installed rules: who is notified of what when rows of a table change
--   rule_error_log      failures of rules
--
--   wakeups_suspended_until_ms, wakeups_suspended_for_good
--                       sequences: whether NOTIFY is sent when notifications change
--   history_began_xid   a sequence: the transaction at which cursors begin after a restore over the same database
--   told                a type: one row of a rule's result, before it becomes a notification
--   read_row            a type: one row of what bellwire.changes_since() and changes_for() return to the service
--
-- Two more tables belong to migrate and are made by it: schema_history (which files were applied) and
-- schema_functions (checksums of the functions, to find those edited by hand).
--
-- Locks    none on existing objects: everything here is new
-- Remove   drop schema bellwire cascade;  (first bellwire.drop_rule() for each rule, which removes the triggers
--          from your tables)

-- No foreign key leaves the schema: a notification must not prevent the application from deleting a user or a task.
create table bellwire.notifications (
  id           bigint      generated always as identity,
  recipient_id text        not null,
  type         text        not null,
  actor_id     text,
  title        text,
  body         text,
  link         text,
  data         jsonb       not null default '{}',
  dedupe_key   text,
  created_at   timestamptz not null default clock_timestamp(),
  seen_at      timestamptz,
  read_at      timestamptz,
  archived_at  timestamptz,
  -- The top-level transactions that inserted the row and that changed it last: pg_current_xact_id(), not xmin, which
  -- inside a savepoint is the savepoint's own id. A reader's position is a snapshot, and these two say whether that
  -- snapshot could see the row. The trigger bellwire.notifications_stamp() maintains changed_xid.
  created_xid  xid8        not null default pg_current_xact_id(),
  changed_xid  xid8        not null default pg_current_xact_id(),
  constraint notifications_pkey primary key (id)
);

comment on table bellwire.notifications is
  'One row for each notification of one recipient. Written by rules and bellwire.notify(), streamed by the Bellwire service.';

-- Every insert pays for each of these indexes, so each one names the query that needs it.

-- The live feed: rows that a snapshot could not see, of all recipients (bellwire.changes_since()).
create index notifications_changed_xid_idx
  on bellwire.notifications (changed_xid);

-- A replay: the same for one recipient, who may have missed the last million rows (bellwire.changes_for()).
create index notifications_recipient_id_changed_xid_idx
  on bellwire.notifications (recipient_id, changed_xid);

-- The newest transaction (bellwire.newest_change()): a row's last change may come from a transaction that began before the one that
-- inserted the row. Such rows are few, and a plain insert adds nothing to this index.
create index notifications_created_xid_idx
  on bellwire.notifications (created_xid)
  where created_xid > changed_xid;

-- The badge (the counts of unread and unseen, from the index alone), the unread page, and the unread part of the inbox.
create index notifications_recipient_id_id_unread_idx
  on bellwire.notifications (recipient_id, id)
  include (seen_at)
  where read_at is null and archived_at is null;

-- The rest of the inbox: a page is merged from the two, newest first, however many are archived. An index of all that is not archived
-- would do the same alone, but every new notification would have to pay for it too.
create index notifications_recipient_id_id_read_idx
  on bellwire.notifications (recipient_id, id)
  where read_at is not null and archived_at is null;

-- The archived page. A new notification adds nothing to this index.
create index notifications_recipient_id_id_archived_idx
  on bellwire.notifications (recipient_id, id)
  where archived_at is not null;

-- A dedupe_key is unique for recipient and type. Rows without a key cost nothing here. The key comes before the type,
-- so that the index also serves a query for all types of a key.
create unique index notifications_recipient_id_dedupe_key_type_idx
  on bellwire.notifications (recipient_id, dedupe_key, type)
  where dedupe_key is not null;

-- Read inside the triggers of rules.
create table bellwire.preferences (
  recipient_id text        not null,
  muted_types  text[]      not null default '{}',
  changed_at   timestamptz not null default clock_timestamp(),
  constraint preferences_pkey primary key (recipient_id)
);

comment on table bellwire.preferences is
  'The notification types that a recipient has muted: no row is written for a muted type. Set with bellwire.mute_types().';

create table bellwire.revocations (
  recipient_id text        not null,
  revoked_at   timestamptz not null,  -- tokens issued before are refused
  revoked_xid  xid8        not null,  -- the transaction that revoked
  constraint revocations_pkey primary key (recipient_id)
);

comment on table bellwire.revocations is
  'Recipients whose streams were ended and whose older tokens are refused. Written by bellwire.revoke().';

-- The live feed: recipients who were revoked since its last snapshot.
create index revocations_revoked_xid_idx
  on bellwire.revocations (revoked_xid);

-- No foreign key: most of these notifications no longer exist.
create table bellwire.removals (
  recipient_id    text        not null,  -- who had the notification
  removed_xid     xid8        not null default pg_current_xact_id(),
  notification_id bigint      not null,
  removed_at      timestamptz not null default clock_timestamp(),
  -- This is also the index of a replay: what one recipient has lost since a snapshot.
  constraint removals_pkey primary key (recipient_id, removed_xid, notification_id)
);

comment on table bellwire.removals is
  'Notifications that a recipient no longer has: deleted, pruned or given to another recipient. Kept as long as notifications; see bellwire.prune().';

-- The live feed reads it for all recipients; bellwire.prune() reads the oldest.
create index removals_removed_xid_idx
  on bellwire.removals (removed_xid);

-- It may be emptied at any time. Readers then get each marked notification as a change of its own.
create table bellwire.mark_alls (
  recipient_id    text        not null,
  marked_xid      xid8        not null,
  before_id       bigint      not null,  -- the greatest id that was marked
  seen_at         timestamptz not null,
  read_at         timestamptz,           -- null: marked as seen, not as read
  -- The transactions that had last changed the marked rows: the newest 100, and the next older one.
  replaced        xid8[]      not null,
  older_replaced  xid8,
  constraint mark_alls_pkey primary key (recipient_id)
);

comment on table bellwire.mark_alls is
  'The last large mark-all of each recipient, which readers get as one event; see bellwire.mark_all(). May be emptied at any time.';

-- The live feed: mark-alls of all recipients.
create index mark_alls_marked_xid_idx
  on bellwire.mark_alls (marked_xid);

-- Unlogged: a ticket is valid for 30 s, and after a crash its client requests another one.
create unlogged table bellwire.tickets (
  digest           bytea       not null,  -- sha256 of the ticket; only its client has the ticket itself
  recipient_id     text        not null,
  issued_at        timestamptz not null,  -- when the token behind the ticket was issued: a revocation refuses both
  token_expires_at timestamptz not null,
  expires_at       timestamptz not null,
  constraint tickets_pkey primary key (digest)
);

comment on table bellwire.tickets is
  'One-time tickets that were not used yet. Written by bellwire.issue_ticket(), used up by bellwire.redeem_ticket().';

-- bellwire.issue_ticket() deletes expired tickets.
create index tickets_expires_at_idx
  on bellwire.tickets (expires_at);

create table bellwire.retention (
  is_only     boolean  not null default true,
  pruned_xid  xid8     not null default '0',
  minimum_age interval not null default '1 day',
  constraint retention_pkey primary key (is_only),
  constraint retention_is_only_check check (is_only),
  constraint retention_minimum_age_check check (minimum_age >= interval '0')
);

insert into bellwire.retention default values;

comment on table bellwire.retention is
  'One row: the newest transaction whose notifications bellwire.prune() has deleted. A cursor from before it is expired.';

comment on column bellwire.retention.minimum_age is
  'bellwire.prune() refuses to delete anything younger. Only a member of bellwire_owner can change it.';

create table bellwire.rule_definitions (
  name         text        not null,
  on_table     regclass    not null,
  -- The table's name, and whether it was a partition, when the rule was defined. on_table follows a table that is renamed, and says
  -- nothing about one that is dropped; bellwire.rule_faults compares the two.
  table_schema name        not null,
  table_name   name        not null,
  is_partition boolean     not null,
  on_event     text        not null,
  query        text        not null,
  action       text        not null default 'notify',
  on_error     text        not null,
  trigger_name text        not null,
  function     text        not null,
  checksum     text        not null,
  defined_at   timestamptz not null default now(),
  defined_xid  xid8        not null default pg_current_xact_id(),
  defined_by   text        not null default session_user,
  constraint rule_definitions_pkey primary key (name),
  constraint rule_definitions_on_event_check check (on_event in ('insert', 'update', 'delete', 'insert or update')),
  constraint rule_definitions_action_check check (action in ('notify', 'retract', 'revoke')),
  constraint rule_definitions_on_error_check check (on_error in ('record', 'raise'))
);

comment on table bellwire.rule_definitions is
  'What bellwire.define_rule() installed; checksum is the md5 of the trigger function''s body. Read it as bellwire.rules.';

-- Concurrent writers each write their own row for the same failure, so that none waits for another.
create table bellwire.rule_error_log (
  id       bigint      generated always as identity,
  rule     text        not null,
  sqlstate text        not null,
  message  text        not null,
  errors   bigint      not null default 1,
  silenced bigint      not null default 0,  -- rows of the application for which no notification was made
  keys     text[]      not null default '{}',  -- of the last 20 of these rows
  first_at timestamptz not null default clock_timestamp(),
  last_at  timestamptz not null default clock_timestamp(),
  constraint rule_error_log_pkey primary key (id)
);

comment on table bellwire.rule_error_log is
  'Failures of rules; bellwire.rule_errors adds them up. Delete the rows of a rule to forget its errors.';

create index rule_error_log_rule_sqlstate_idx
  on bellwire.rule_error_log (rule, sqlstate);

-- A rule's query may return data that is not JSON, or no type at all; this type holds such rows too.
create type bellwire.told as (
  recipient_id text,
  type         text,
  actor_id     text,
  title        text,
  body         text,
  link         text,
  data         text,
  dedupe_key   text
);

alter type bellwire.told owner to bellwire_owner;

comment on type bellwire.told is
  'One row of a rule''s result, before it becomes a notification. Used to find the rows that cannot be written.';

-- A read returns first a head, whose id is null, and then a page of changes. The columns up to unseen belong to the head, those from
-- stage on to a change. But every row has reader, and a changed or removed row also has unread and unseen. bellwire.changes_since()
-- explains the columns. Only bellwire.changes_for() sets reader, fresh and bytes.
create type bellwire.read_row as (
  reader       bigint,
  epoch        text,
  snapshot     pg_snapshot,
  newest       xid8,
  is_expired   boolean,
  remaining    bigint,
  fresh        bigint,
  bytes        bigint,
  revoked      text[],
  suspended_ms double precision,
  unread       bigint,
  unseen       bigint,
  stage        integer,
  id           bigint,
  recipient_id text,
  type         text,
  actor_id     text,
  title        text,
  body         text,
  link         text,
  data         text,
  is_cut       boolean,
  created_at   text,
  seen_at      text,
  read_at      text,
  archived_at  text,
  created_xid  xid8,
  changed_xid  xid8
);

alter type bellwire.read_row owner to bellwire_owner;

comment on type bellwire.read_row is
  'One row of what bellwire.changes_since() and bellwire.changes_for() return to the service.';

-- The next three are sequences, because a sequence is read and written outside transactions. A trigger sees a new value at
-- once, whatever its isolation level, and a read costs no more than to read a buffer.

-- In milliseconds since 1970, by the server's clock.
create sequence bellwire.wakeups_suspended_until_ms
  as bigint
  minvalue 0
  start with 0;

comment on sequence bellwire.wakeups_suspended_until_ms is
  'Until then no wake-up is sent: a lease of bellwire.suspend_wakeups_for(), at most a second long.';

-- Separate from the lease, so that a lease never overwrites it, and so that setting it waits for no other transaction.
create sequence bellwire.wakeups_suspended_for_good
  as smallint
  minvalue 0
  maxvalue 1
  start with 0;

comment on sequence bellwire.wakeups_suspended_for_good is
  '1 from bellwire.suspend_wakeups() to bellwire.resume_wakeups().';

-- A sequence and not a row: a restore of the data alone can set a sequence, but its insert of a row would conflict with the existing
-- row.
create sequence bellwire.history_began_xid
  as bigint
  minvalue 0
  start with 0;

comment on sequence bellwire.history_began_xid is
  'The transaction at which the current history begins, set by bellwire.begin_history(). Unset: at the first one.';
