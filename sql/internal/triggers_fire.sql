-- True, or an error where this session's session_replication_role is `replica`: then the table's triggers do not fire, and
-- nobody would hear of what is marked or pruned. The service asks when it connects; behind a pooler in transaction mode another
-- client may have left the setting in the session since, so whatever marks or prunes asks as well.
--
-- Raises   object_not_in_prerequisite_state (55000)
-- Rights   bellwire_service
-- Remove   drop function bellwire.triggers_fire();
create or replace function bellwire.triggers_fire()
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('session_replication_role') = 'replica' then
    raise exception 'session_replication_role is replica in this session: no trigger fires'
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  return true;
end;
$$;

comment on function bellwire.triggers_fire() is
  'Internal. True, or an error in a session whose session_replication_role is replica, where no trigger fires.';

revoke all on function bellwire.triggers_fire() from public;
grant execute on function bellwire.triggers_fire() to bellwire_service;
