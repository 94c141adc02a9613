-- What a snapshot could not see, of all recipients, oldest first: mark-alls, removed notifications, new ones and changed ones.
--
-- This is the read of the live feed; bellwire.changes_for() is the same for single recipients. It is exact whatever the commit
-- order. A transaction is not visible in `since` if its id is at or after the xmax of `since`, or in its list of transactions in
-- progress. The visible rows of such transactions were not delivered yet; every other visible row was. `id > last` cannot tell that,
-- because a row gets its id at the insert and becomes visible at the commit.
--
--   since          the reader's position
--   upto           to continue an earlier, unfinished read: the snapshot that the read returned. Changed rows are returned as
--                  they are now
--   after_stage, after_id
--                  how far that read came: after this id of this stage, and after all earlier stages. A read that begins with
--                  stage 0 returns no mark-alls
--   page_size      the maximum rows of a page; fewer if their texts exceed one megabyte
--   cut_at         a text of more bytes than this is cut to this many characters, and such data becomes {}; null: nothing is cut
--
-- Returns first a head, whose `id` is null, then a page. In the head:
--   epoch, snapshot        the history, and the moment of this call
--   newest                 bellwire.newest_change(): the reader's new position ends there
--   is_expired             notifications that were not visible in `since` were pruned, so the read may lack some
--   remaining              how many rows the read had left, including this page
--   revoked                recipients whose access was revoked since then
--   suspended_ms           for how long no wake-ups will be sent: 0 when they are sent, infinity when suspended for good
-- Each row of the page has a `stage`; they come in this order:
--  -1  a mark-all (bellwire.mark_alls) of its recipient: each notification up to `id` that is neither read nor archived was
--      read at `read_at`, if that is given, and seen at `seen_at`, unless it was seen before. Only on a first page, and only if
--      bellwire.can_send_as_one_event(); the rows that it describes then do not come by themselves
--   0  removed: deleted, or given to another recipient. It has an id, its recipient, and the transaction (`changed_xid`)
--   1  new: its insert was not visible in `since`, even if it was marked since then. A notification that was given to another
--      recipient is new for that one
--   2  changed: seen, read or archived was set or unset. It has no texts and no data
-- `data` is JSON as PostgreSQL prints it, times are formatted by bellwire.wire_time(), and `is_cut` says that the table has more of the
-- row. `unread` and `unseen` are the recipient's counts. A new row has none, because the service can add it to the last counts.
-- A notification that was taken from a recipient and given back is first removed and then new, in this read or in a later one.
--
-- It has more than 200 lines because it is one statement: the page is cut from the rows that were counted, and between two
-- statements those would have to be kept in arrays. Each part has a name in its WITH list.
--
-- Cost     one index probe, and one for each transaction in progress in `since`, however long those stay open
-- Rights   bellwire_service
-- Remove   drop function bellwire.changes_since;
-- requires: can_send_as_one_event.sql
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
  -- These settings give one generic plan that uses the indexes. Without them the planner assumes that a third of the table is new.
  -- random_page_cost is low, so that the planner prefers the index of which it reads the fewest entries, even if the rows are stored
  -- in the order of another index.
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
  -- Only ids, so that a backlog of a million rows is counted and sorted without reading its texts.
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
       and bellwire.can_send_as_one_event((k.*)::bellwire.mark_alls, since)
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
              -- With two bounds the planner expects few rows; with one bound it expects a third of the table.
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
              -- Not if `since` has seen that the notification was given back. A position that was too long for an id was shortened, so
              -- it may have seen only the later of the two changes.
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
              -- A notification that had several recipients one after the other is removed from each of them under the same id. A page
              -- must not end between these rows.
              fetch first (page_size) rows with ties
           ) p
     -- One index probe per row. The planner does not know page_size, so with a plain join it would scan the whole table.
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
  -- The columns as they are returned, only for the rows that fit by the estimate. From here on `data` is fetched; this part is
  -- materialized, so that it is fetched once.
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
     -- The reader holds the page in memory. No row comes before the first one, so a page always has at least that one.
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
