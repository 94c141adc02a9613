-- What became of a notification: seen, read, archived, each with its time.
--
-- Rights   called by bellwire.explain()
-- Remove   with the schema
create or replace function bellwire.state_of(n bellwire.notifications)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce('seen at ' || n.seen_at::timestamptz(0), 'not seen')
      || coalesce(', read at ' || n.read_at::timestamptz(0), ', not read')
      || coalesce(', archived at ' || n.archived_at::timestamptz(0), ', not archived');
$$;

comment on function bellwire.state_of(bellwire.notifications) is
  'Internal. What became of a notification: seen, read, archived.';

revoke all on function bellwire.state_of(bellwire.notifications) from public;
