-- A dedupe_key is one rule's own: unique for recipient, key and type. Failures of rules say how many rows they silenced.
--
-- The key comes before the type, so that one index serves whoever looks for a recipient's key as well.
--
-- Locks    share on bellwire.notifications while the index is built (writers wait), then access exclusive (readers as well),
--          both to the end of the run: migrate is one transaction
-- Remove   with the schema
create unique index notifications_recipient_id_dedupe_key_type_idx
  on bellwire.notifications (recipient_id, dedupe_key, type)
  where dedupe_key is not null;

drop index bellwire.notifications_recipient_id_dedupe_key_idx;

alter table bellwire.rule_error_log
  add column silenced bigint not null default 0;

-- What a rule's query returns, before it is a notification: data may be no jsonb, and type may be null.
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
  'What a rule''s query returns, before it is a notification. Used where one of its rows is wrong.';

-- It takes one argument more now.
drop function if exists bellwire.record_rule_error(text, text, text);
