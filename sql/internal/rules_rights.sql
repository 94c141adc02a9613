-- What rules may do: read whom they tell from the tables that are granted to bellwire_rules, write notifications, and see who
-- has muted what. The functions they call carry their own grants.
--
-- Of notifications only the columns that a rule gives; those of the unique index are read by "on conflict", and a rule that
-- retracts finds what to archive.
--
-- Remove   revoke all on all tables in schema bellwire from bellwire_rules;
grant usage on schema bellwire to bellwire_rules;

grant insert (recipient_id, type, actor_id, title, body, link, data, dedupe_key),
      select (id, recipient_id, type, data, dedupe_key, archived_at),
      update (archived_at)
  on bellwire.notifications
  to bellwire_rules;

grant select
  on bellwire.preferences, bellwire.wakeups_suspended_until_ms, bellwire.wakeups_suspended_for_good
  to bellwire_rules;

grant select (name, query)
  on bellwire.rule_definitions
  to bellwire_rules;
