-- True, or an error if the session's session_replication_role is `replica`. In such a session no trigger fires, so readers would
-- not learn of marked or pruned notifications. The service checks when it connects. Behind a pooler in transaction mode,
-- another client may have left the setting in the session later, so marking and pruning check again.
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
