-- Ends a recipient's open streams, and refuses tokens issued before now, on every instance. Because clocks differ, the service also
-- refuses tokens issued within JWT_LEEWAY_SECONDS after now.
--
--   select bellwire.revoke('42');
--
-- Channel  bellwire, see bellwire.wake_listeners()
-- Rights   none by default; grant usage on schema bellwire to <role>;
--          grant execute on function bellwire.revoke to <role>;
-- Remove   drop function bellwire.revoke(text);
-- requires: same_id.sql
create or replace function bellwire.revoke(recipient_id text)
  returns void
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  insert into bellwire.revocations (recipient_id, revoked_at, revoked_xid)
  values (bellwire.same_id(revoke.recipient_id), clock_timestamp(), pg_current_xact_id())
      on conflict (recipient_id)
         do update
        set revoked_at = excluded.revoked_at,
            revoked_xid = excluded.revoked_xid;
  perform bellwire.wake_listeners();
end;
$$;

comment on function bellwire.revoke(text) is
  'Ends a recipient''s open streams and refuses tokens issued before now.';

revoke all on function bellwire.revoke(text) from public;
grant execute on function bellwire.revoke(text) to bellwire_rules;
