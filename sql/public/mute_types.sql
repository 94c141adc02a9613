-- Sets the types that a recipient has muted, and replaces those set before. Returns them in order, without repeats. From the next write
-- on, no notifications of these types are made (bellwire.is_wanted()); existing ones stay.
--
--   select bellwire.mute_types('42', array['task.message']);
--
-- At most 200 types of 200 characters, as in the API, because every rule that notifies this recipient reads them.
--
-- Rights   bellwire_service
-- Remove   drop function bellwire.mute_types;
-- requires: same_id.sql
create or replace function bellwire.mute_types(recipient_id text, types text[])
  returns text[]
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  muted text[] := array(select distinct type from unnest(mute_types.types) as type order by type);
begin
  if cardinality(muted) > 200 or exists (select from unnest(muted) as type where length(type) > 200) then
    raise exception 'a recipient can mute at most 200 types of 200 characters'
      using errcode = 'invalid_parameter_value';
  end if;
  insert into bellwire.preferences as p (recipient_id, muted_types)
  values (bellwire.same_id(mute_types.recipient_id), muted)
      on conflict on constraint preferences_pkey
         do update
        set muted_types = excluded.muted_types,
            changed_at = case when p.muted_types = excluded.muted_types then p.changed_at else excluded.changed_at end
  returning p.muted_types
    into muted;
  return muted;
end;
$$;

comment on function bellwire.mute_types is
  'Sets the notification types that a recipient has muted; returns them.';

revoke all on function bellwire.mute_types from public;
grant execute on function bellwire.mute_types to bellwire_service;
