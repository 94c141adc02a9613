-- Sets the types a recipient does not want to hear of, in the place of those set before; returns them, each once, in order.
-- From the next write on they do not become rows (bellwire.is_wanted()); what is there stays.
--
--   select bellwire.mute_types('42', array['task.message']);
--
-- Rights   bellwire_service
-- Remove   drop function bellwire.mute_types;
create or replace function bellwire.mute_types(recipient_id text, types text[])
  returns text[]
  language sql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into bellwire.preferences as p (recipient_id, muted_types)
  values (mute_types.recipient_id, array(select distinct type from unnest(mute_types.types) as type order by type))
      on conflict (recipient_id)
         do update
        set muted_types = excluded.muted_types
  returning p.muted_types;
$$;

comment on function bellwire.mute_types is
  'Sets the types a recipient has muted; returns them.';

revoke all on function bellwire.mute_types from public;
grant execute on function bellwire.mute_types to bellwire_service;
