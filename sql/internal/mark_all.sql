-- Marks a recipient's unread as read, or the unseen as seen; returns how many. Those already marked, and the archived, stay.
--
--   mark            'read' or 'seen'
--   before          only up to and including this id
--   of_type         only of this type
--   had             only what this position has: what has been inserted by a transaction that it sees. An id alone does not say
--                   that: one that was taken early may be committed late, below `before`, and nobody has seen it yet
--   in_epoch        the history that the position is of; of another, nothing is marked, and null returned
--   reading, read_id
--                   the position is within a read of new rows: it also has those of that snapshot up to this id
--
-- Of ten or more of any type it keeps in bellwire.mark_alls what it did, with what it replaced: a reader who knows all that was replaced can
-- mark the same by itself. For that the rows are locked before they are updated, in the order of their ids.
--
-- Cost     one lock and one update of the recipient's unread, by their index; a row of bellwire.mark_alls
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
  replaced xid8[];  -- newest first, one more than are kept
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
