-- What rules may do: read the tables that are granted to bellwire_rules, write notifications, and see which types are muted. The
-- functions that they call have grants of their own.
--
-- In notifications they may write only the columns that a rule returns. They may also read some: "on conflict" reads the columns of the
-- unique index, and a rule that retracts has to find the notifications that it archives.
--
-- Remove   revoke all on all tables in schema bellwire from bellwire_rules;
grant usage on schema bellwire to bellwire_rules;

grant insert (recipient_id, type, actor_id, title, body, link, data, dedupe_key),
      select (id, recipient_id, type, data, dedupe_key, read_at, archived_at),
      update (archived_at)
  on bellwire.notifications
  to bellwire_rules;

grant select
  on bellwire.preferences, bellwire.wakeups_suspended_until_ms, bellwire.wakeups_suspended_for_good
  to bellwire_rules;

grant select (name, query)
  on bellwire.rule_definitions
  to bellwire_rules;
