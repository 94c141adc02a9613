-- Marks a recipient's unread notifications as read, or the unseen ones as seen; returns how many. It does not change notifications
-- that are already marked, or archived.
--
--   mark            'read' or 'seen'
--   before          only up to and including this id
--   of_type         only this type
--   had             only notifications that a reader at this position has: their inserts are visible in it. An id alone does not
--                   show that, because a row with a low id may commit late
--   in_epoch        the history of the position; if the database has another one, nothing is marked, and the result is null
--   reading, read_id
--                   if the position is within a read of new rows: the reader also has the rows of this snapshot up to this id
--
-- A mark-all of ten or more, of all types, is stored in bellwire.mark_alls, with the transactions that had last changed the marked
-- rows: a reader that has all of those can do the same marking by itself. So that these transactions are known, the rows are locked
-- before the update, in the order of their ids.
--
-- Cost     one lock and one update of each unread notification, by their index; one row of bellwire.mark_alls
-- Rights   bellwire_service, with its own rights
-- Remove   drop function bellwire.mark_all;
create or replace function bellwire.mark_all(
  mark          text,
  for_recipient text,
  before        bigint      default null,
  of_type       text        default null,
  had           pg_snapshot default null,
  in_epoch      text        default null,
  reading       pg_snapshot default null,
  read_id       bigint      default null
)
  returns bigint
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  moment   timestamptz := clock_timestamp();
  marked   bigint;
  last_id  bigint;
  replaced xid8[];  -- newest first: those that are stored, and the next older one
  many constant integer := 10;
  kept constant integer := 100;
begin
  perform bellwire.triggers_fire();
  if in_epoch <> bellwire.epoch()
    or pg_snapshot_xmax(coalesce(reading, had)) > pg_snapshot_xmax(pg_current_snapshot())
  then
    return null;
  end if;
  with found as materialized (
    select n.id, n.changed_xid
      from bellwire.notifications n
     where n.recipient_id = for_recipient
       and n.read_at is null
       and n.archived_at is null
       and (mark = 'read' or n.seen_at is null)
       and (before is null or n.id <= before)
       and (of_type is null or n.type = of_type)
       and (
             had is null
             or pg_visible_in_snapshot(n.created_xid, had)
             or reading is not null and n.id <= read_id and pg_visible_in_snapshot(n.created_xid, reading)
           )
     order by n.id
       for no key update
  ),
  updated as (
    update bellwire.notifications n
       set read_at = case when mark = 'read' then moment end,
           seen_at = coalesce(n.seen_at, moment)
      from found f
     where n.id = f.id
    returning n.id
  )
  select count(*),
         max(u.id),
         array(select distinct f.changed_xid from found f order by f.changed_xid desc limit kept + 1)
    into marked, last_id, replaced
    from updated u;
  if marked >= many and of_type is null then
    insert into bellwire.mark_alls (
      recipient_id, marked_xid, before_id, seen_at, read_at, replaced, older_replaced
    )
    values (
      for_recipient,
      pg_current_xact_id(),
      last_id,
      moment,
      case when mark = 'read' then moment end,
      replaced[1:kept],
      replaced[kept + 1]
    )
    on conflict (recipient_id)
       do update
      set marked_xid = excluded.marked_xid,
          before_id = excluded.before_id,
          seen_at = excluded.seen_at,
          read_at = excluded.read_at,
          replaced = excluded.replaced,
          older_replaced = excluded.older_replaced;
  end if;
  return marked;
end;
$$;

comment on function bellwire.mark_all is
  'Internal. Marks a recipient''s notifications as read or as seen; returns how many.';

revoke all on function bellwire.mark_all from public;
grant execute on function bellwire.mark_all to bellwire_service;
