-- What the Bellwire process may do with the tables: read, and change the state of a notification. It cannot insert or delete a
-- notification, or change a rule; the functions that it calls have grants of their own.
--
-- Remove   revoke all on all tables in schema bellwire from bellwire_service;
grant usage on schema bellwire to bellwire_service;

grant select
  on bellwire.notifications, bellwire.preferences, bellwire.revocations, bellwire.removals, bellwire.retention,
     bellwire.wakeups_suspended_until_ms, bellwire.wakeups_suspended_for_good, bellwire.history_began_xid
  to bellwire_service;

grant update (seen_at, read_at, archived_at)
  on bellwire.notifications
  to bellwire_service;

-- bellwire.mark_all() writes here. The grants name columns, because a grant on the whole table would also allow locking it.
grant select,
      insert (recipient_id, marked_xid, before_id, seen_at, read_at, replaced, older_replaced),
      update (marked_xid, before_id, seen_at, read_at, replaced, older_replaced)
  on bellwire.mark_alls
  to bellwire_service;
