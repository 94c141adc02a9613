-- The tables of Bellwire: notifications, who has muted what, whose streams were ended, and the rules.
--
-- Locks    none on existing objects; everything here is new and in schema bellwire
-- Remove   drop schema bellwire cascade;  (after bellwire.drop_rule() for each rule, which takes the
--          triggers off your tables)

-- One row for each thing one recipient is told. No foreign key leaves the schema: the row must not
-- stand in the way when the application deletes a user or a task.
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
  -- The top-level transactions that inserted and that last changed the row (pg_current_xact_id(), not
  -- xmin, which would be a savepoint's). A reader's position is a snapshot; these two tell whether the
  -- snapshot could see the row. bellwire.notifications_stamp() keeps changed_xid.
  created_xid  xid8        not null default pg_current_xact_id(),
  changed_xid  xid8        not null default pg_current_xact_id(),
  constraint notifications_pkey primary key (id)
);

comment on table bellwire.notifications is
  'One row for each thing one recipient is told. Written by rules and bellwire.notify(), streamed by the Bellwire service.';

-- Each index is paid for on every insert, so each names the query it serves.

-- The feed: what a snapshot could not see (bellwire.changes_since, for all recipients).
create index notifications_changed_xid_idx
  on bellwire.notifications (changed_xid);

-- A replay: the same for one recipient, whose last visit may be a million rows ago.
create index notifications_recipient_id_changed_xid_idx
  on bellwire.notifications (recipient_id, changed_xid);

-- The inbox: one recipient's page, newest first.
create index notifications_recipient_id_id_idx
  on bellwire.notifications (recipient_id, id);

-- The badge: unread, and of those unseen, without visiting the table.
create index notifications_recipient_id_seen_at_idx
  on bellwire.notifications (recipient_id, seen_at)
  where read_at is null and archived_at is null;

-- "Not again": one row a recipient and key. Costs nothing for rows without a key.
create unique index notifications_recipient_id_dedupe_key_idx
  on bellwire.notifications (recipient_id, dedupe_key)
  where dedupe_key is not null;

-- What a recipient does not want to hear of. Read inside the rule's trigger.
create table bellwire.preferences (
  recipient_id text   not null,
  muted_types  text[] not null default '{}',
  constraint preferences_pkey primary key (recipient_id)
);

comment on table bellwire.preferences is
  'The notification types a recipient has muted; a muted type never becomes a row.';

-- Written by bellwire.revoke(): open streams end, tokens issued before revoked_at are refused.
create table bellwire.revocations (
  recipient_id text        not null,
  revoked_at   timestamptz not null,
  revoked_xid  xid8        not null,
  constraint revocations_pkey primary key (recipient_id)
);

comment on table bellwire.revocations is
  'Recipients whose streams were ended and whose older tokens are refused. Written by bellwire.revoke().';

-- The feed: who was revoked since its last snapshot.
create index revocations_revoked_xid_idx
  on bellwire.revocations (revoked_xid);

-- What bellwire.define_rule() was given, and what it made of it. Read it as bellwire.rules.
create table bellwire.rule_definitions (
  name         text        not null,
  on_table     regclass    not null,
  on_event     text        not null,
  query        text        not null,
  on_error     text        not null,
  trigger_name text        not null,
  function     text        not null,
  checksum     text        not null,
  defined_at   timestamptz not null default now(),
  defined_by   text        not null default session_user,
  constraint rule_definitions_pkey primary key (name),
  constraint rule_definitions_on_event_check check (on_event in ('insert', 'update')),
  constraint rule_definitions_on_error_check check (on_error in ('record', 'raise'))
);

comment on table bellwire.rule_definitions is
  'What bellwire.define_rule() installed; checksum is md5 of the trigger function''s body. Read it as bellwire.rules.';

-- Failures of rules. Several rows may stand for one failure, so that no writer ever waits for another
-- here; bellwire.rule_errors adds them up.
create table bellwire.rule_error_log (
  id       bigint      generated always as identity,
  rule     text        not null,
  sqlstate text        not null,
  message  text        not null,
  errors   bigint      not null default 1,
  first_at timestamptz not null default clock_timestamp(),
  last_at  timestamptz not null default clock_timestamp(),
  constraint rule_error_log_pkey primary key (id)
);

create index rule_error_log_rule_sqlstate_idx
  on bellwire.rule_error_log (rule, sqlstate);
