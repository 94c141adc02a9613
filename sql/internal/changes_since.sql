-- Everything a snapshot could not see: mark-alls, what was removed, new notifications and changed ones, oldest first, of all recipients.
--
-- This is the live feed's read; bellwire.changes_for() is the same for single recipients. It is exact whatever the commit
-- order: a row visible now whose transaction was not visible in `since` (at or past its xmax, or in its in-progress list)
-- has not been delivered yet, and every other row has. `id > last` cannot know that: ids are drawn at insert and seen at
-- commit.
--
--   since          the reader's position
--   upto           goes on with an earlier, unfinished read: the snapshot that read returned. What was changed is given as it
--                  is now
--   after_stage, after_id
--                  how far that read had come: past this id of this stage, and past all stages before. Who begins with
--                  stage 0 is told of no mark-all
--   page_size      how many rows at the most; fewer where their texts come to more than a megabyte
--   cut_at         texts of more bytes are cut to as many characters, and such data is {}; null: nothing is cut
--
-- Returns first a head, whose `id` is null, then a page. In the head:
--   epoch, snapshot        the history and the moment of this call
--   newest                 the greatest transaction id of any row that is seen, or was before it was pruned, and not before
--                          this history began: where a reader who has this read may say he is
--   is_expired             notifications that `since` had not seen have been pruned, so the read may lack some
--   remaining              how many rows the read had left, this page included
--   revoked                recipients whose access was revoked since
--   suspended_ms           for how long no wake-ups will be sent from now on; 0 when they are, infinity for good
-- Each row of the page has a `stage`, in which order they come:
--  -1  a mark-all (bellwire.mark_alls): of its recipient, up to `id`, what is neither read nor archived was read at `read_at`,
--      if that is given, and seen at `seen_at`, if it was not. Only in a first page, and where bellwire.can_be_told_as_one();
--      what is as it says does not come then
--   0  removed: deleted, or given to another recipient. It has an id, its recipient, and when (`changed_xid`)
--   1  new: its insert was not visible in `since`, even if it was read meanwhile. What was moved to another recipient is new
--   2  changed: seen, read, archived, or not any more. It has no texts and no data
-- `data` is JSON as PostgreSQL prints it, times are as bellwire.wire_time() says, `is_cut` tells that there is more of it in the
-- table, and `unread` and `unseen` are its recipient's, except in a new row: an insert alone can be added up.
-- What was taken from somebody and given back is removed and then new, in this read or from the next on.
--
-- Cost     an index probe, and one for each transaction in progress in `since`; nothing depends on how long those stay open
-- Rights   bellwire_service
-- Remove   drop function bellwire.changes_since;
-- requires: can_be_told_as_one.sql
-- requires: count_unread.sql
-- requires: expiry_of.sql
-- requires: is_as_marked.sql
-- requires: is_in_read.sql
-- requires: newest_change.sql
-- requires: stored_bytes.sql
create or replace function bellwire.changes_since(
  since       pg_snapshot,
  upto        pg_snapshot default null,
  after_stage integer     default -1,
  after_id    bigint      default 0,
  page_size   integer     default 1000,
  cut_at      integer     default null
)
  returns setof bellwire.read_row
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  -- One plan for ever, on the indexes: without these the planner takes a third of the table for new. Pages cost it little,
  -- so that it takes the index of which it reads the least, not one in whose order the rows lie.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set random_page_cost = 0.1
  set jit = off
as $$
#variable_conflict use_column
declare
  since_xmax        xid8 := pg_snapshot_xmax(since);
  since_in_progress xid8[] := array(select pg_snapshot_xip(since));
  present           pg_snapshot := pg_current_snapshot();
  moment            pg_snapshot := coalesce(upto, present);
begin
  return query
  -- Ids only: a backlog of a million rows is counted and sorted here, and its texts are left where they are.
  with unseen as materialized (
    select since_xmax as first, '18446744073709551615'::xid8 as last
     union all
    select xid, xid from unnest(since_in_progress) as xid
  ),
  marked as materialized (
    select k.*
      from unseen
     cross join lateral (
             select m.*
               from bellwire.mark_alls m
              where m.marked_xid between unseen.first and unseen.last
             offset 0
           ) k
     where upto is null
       and after_stage < 0
       and pg_visible_in_snapshot(k.marked_xid, present)
       and bellwire.can_be_told_as_one((k.*)::bellwire.mark_alls, since)
  ),
  pending as materialized (
    select found.stage, found.id, found.recipient_id, found.changed_xid
      from (
             select case when pg_visible_in_snapshot(n.created_xid, since) then 2 else 1 end as stage,
                    n.id,
                    n.recipient_id,
                    n.created_xid,
                    n.changed_xid
               from unseen
              -- Between two bounds the planner expects little; of what is past one, a third of the table.
              cross join lateral (
                      select m.id, m.recipient_id, m.created_xid, m.changed_xid, m.seen_at, m.read_at, m.archived_at
                        from bellwire.notifications m
                       where m.changed_xid between unseen.first and unseen.last
                      offset 0
                    ) n
              where not exists (
                      select
                        from marked k
                       where k.recipient_id = n.recipient_id
                         and k.marked_xid = n.changed_xid
                         and pg_visible_in_snapshot(n.created_xid, since)
                         and bellwire.is_as_marked((k.*)::bellwire.mark_alls, n.id, n.seen_at, n.read_at, n.archived_at)
                    )
              union all
             select -1, k.before_id, k.recipient_id, k.marked_xid, k.marked_xid
               from marked k
              union all
             select 0, x.notification_id, x.recipient_id, x.removed_xid, x.removed_xid
               from unseen
              cross join lateral (
                      select r.notification_id, r.recipient_id, r.removed_xid
                        from bellwire.removals r
                       where r.removed_xid between unseen.first and unseen.last
                      offset 0
                    ) x
              -- Given back, and `since` has seen that: a position that did not fit into an id may have seen only the later.
              where not exists (
                      select
                        from bellwire.notifications n
                       where n.id = x.notification_id
                         and n.recipient_id = x.recipient_id
                         and pg_visible_in_snapshot(n.created_xid, since)
                    )
           ) found
     where bellwire.is_in_read(found.stage, found.created_xid, found.changed_xid, moment, present)
       and (found.stage, found.id) > (after_stage, after_id)
  ),
  stored as (
    select p.stage,
           p.id as place,
           p.recipient_id as told,
           p.changed_xid as told_xid,
           n.*,
           k.seen_at as mark_seen_at,
           k.read_at as mark_read_at,
           sum(bellwire.stored_bytes(p.stage, n.type, n.actor_id, n.title, n.body, n.link, n.data, cut_at))
             over (order by p.stage, p.id rows between unbounded preceding and 1 preceding) as stored_before
      from (
             select p.*
               from pending p
              order by p.stage, p.id
              -- What went through several hands is removed from each: a page does not end between those.
              fetch first (page_size) rows with ties
           ) p
     -- A probe for each; as a plain join the planner, which does not know page_size, walks the whole table.
      left join lateral (
             select n.*
               from bellwire.notifications n
              where n.id = p.id
                and p.stage > 0
              limit 1
           ) n on true
      left join marked k on p.stage = -1 and k.recipient_id = p.recipient_id
     where n.id is not null
        or p.stage <= 0
  ),
  -- As it is read, of those only that are small enough by that: to know it exactly, data must be fetched. Once: materialized.
  cut as materialized (
    select s.stage,
           s.place as id,
           s.told as recipient_id,
           bellwire.cut_text(s.type, cut_at) as type,
           case when s.stage = 1 then bellwire.cut_text(s.actor_id, cut_at) end as actor_id,
           case when s.stage = 1 then bellwire.cut_text(s.title, cut_at) end as title,
           case when s.stage = 1 then bellwire.cut_text(s.body, cut_at) end as body,
           case when s.stage = 1 then bellwire.cut_text(s.link, cut_at) end as link,
           case when s.stage = 1 then s.data::text end as data,
           coalesce(
             s.stage = 1
               and greatest(
                     octet_length(s.type), octet_length(s.actor_id), octet_length(s.title), octet_length(s.body), octet_length(s.link)
                   ) > cut_at,
             false
           ) as is_cut,
           s.created_at,
           coalesce(s.seen_at, s.mark_seen_at) as seen_at,
           coalesce(s.read_at, s.mark_read_at) as read_at,
           s.archived_at,
           s.created_xid,
           s.told_xid as changed_xid
      from stored s
     where coalesce(s.stored_before, 0) < 1048576
  ),
  sized as (
    select c.*,
           coalesce(octet_length(c.data) > cut_at, false) as is_data_cut,
           sum(
             coalesce(octet_length(c.type), 0)
               + coalesce(octet_length(c.actor_id), 0)
               + coalesce(octet_length(c.title), 0)
               + coalesce(octet_length(c.body), 0)
               + coalesce(octet_length(c.link), 0)
               + case when c.data is null then 0 else least(octet_length(c.data), cut_at) end
           )
             over (order by c.stage, c.id rows between unbounded preceding and 1 preceding) as bytes_before
      from cut c
  ),
  page as materialized (
    select s.*
      from sized s
     -- Whoever reads a page holds it in memory. The first row has none before it, so there is always one.
     where coalesce(s.bytes_before, 0) < 1048576
  ),
  counts as (
    select told.recipient_id, badge.unread, badge.unseen
      from (select distinct p.recipient_id from page p where p.stage <> 1) told
     cross join lateral bellwire.count_unread(told.recipient_id) badge
  ),
  ended as materialized (
    select e.recipient_id, e.revoked_xid
      from bellwire.revocations e
     where e.revoked_xid >= since_xmax
     union all
    select e.recipient_id, e.revoked_xid
      from bellwire.revocations e
     where e.revoked_xid = any (since_in_progress)
  ),
  server as materialized (
    select * from bellwire.newest_change()
  )
  select null::bigint as reader,
         bellwire.epoch(),
         pg_current_snapshot(),
         s.newest,
         x.is_expired,
         (select count(*) from pending),
         null::bigint as fresh,
         null::bigint as bytes,
         array(select e.recipient_id from ended e),
         bellwire.wakeups_suspended_ms(),
         null::bigint,
         null::bigint,
         null::integer as stage,
         null::bigint as id,
         null, null, null, null, null, null, null, null::boolean, null, null, null, null, null::xid8, null::xid8
    from server s
   cross join lateral bellwire.expiry_of(since_xmax, since_in_progress, s.pruned_xid) x
   union all
  select null, null, null, null, null, null, null, null, null, null,
         c.unread,
         c.unseen,
         p.stage,
         p.id,
         p.recipient_id,
         p.type,
         p.actor_id,
         p.title,
         p.body,
         p.link,
         case when p.is_data_cut then '{}' else p.data end,
         p.is_cut or p.is_data_cut,
         bellwire.wire_time(p.created_at),
         bellwire.wire_time(p.seen_at),
         bellwire.wire_time(p.read_at),
         bellwire.wire_time(p.archived_at),
         p.created_xid,
         p.changed_xid
    from page p
    left join counts c on c.recipient_id = p.recipient_id and p.stage <> 1
   order by stage nulls first, id;
end;
$$;

comment on function bellwire.changes_since is
  'Internal. What a snapshot could not see, of all recipients, oldest first: the live feed.';

revoke all on function bellwire.changes_since from public;
grant execute on function bellwire.changes_since to bellwire_service;
