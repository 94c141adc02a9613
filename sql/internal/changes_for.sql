-- What several readers have missed, each of one recipient, in one call: for the replays of streams and the inbox's cursor. Each reader
-- gets what bellwire.changes_since() would give, which explains the rows and their stages.
--
-- Each reader is one element of every array. An array that is shorter, or left out, gives nulls.
--   since          the reader's position
--   for_recipient  the recipient
--   upto, after_stage, after_id
--                  continue an earlier, unfinished read
--   page_bytes     the size limit of its page, which counts 256 bytes per row besides the texts; null: an equal part of one
--                  megabyte, but at least 64 KB
-- and for all readers:
--   page_size      the maximum rows of a page. If there are at most ten readers, ten rows without texts count as one
--   most           a reader that has missed more notifications than this has to fetch its list again. So the search stops there,
--                  and which rows it finds is undefined. Changed and removed notifications have no limit. Null: no limit
--   cut_at         as in changes_since()
-- and to count less:
--   counted        for each reader, a snapshot of which the caller has the recipient's counts
--   counted_in     the history of these snapshots
--
-- Returns for each reader (`reader`, from 1) first a head, whose `id` is null, then its page. In the head `unread` and `unseen` are
-- the recipient's counts, or null if they are still those of `counted`. `revoked` has the recipient or nobody, `fresh` is how many of
-- the remaining rows are new, and `bytes` is the size of the page. If the first row alone is larger than page_bytes, the page is empty, and `bytes` is the size of that row.
--
-- It has more than 200 lines because it is one statement: pages are cut from the rows that were counted, and between two
-- statements those would have to be kept in arrays. Each part has a name in its WITH list.
--
-- Cost     two index probes for each reader, and two for each transaction in progress in its `since`, however long those stay open.
--          For a reader that has missed more than `most` rows of any kind, the search runs twice
-- Rights   bellwire_service
-- Remove   drop function bellwire.changes_for;
-- requires: count_unread.sql
-- requires: expiry_of.sql
-- requires: is_in_read.sql
-- requires: is_unchanged.sql
-- requires: newest_change.sql
-- requires: recipient_changes_since.sql
-- requires: stored_bytes.sql
create or replace function bellwire.changes_for(
  since         pg_snapshot[],
  for_recipient text[],
  upto          pg_snapshot[] default null,
  after_stage   integer[]     default null,
  after_id      bigint[]      default null,
  page_size     integer       default 1000,
  most          integer       default null,
  cut_at        integer       default null,
  page_bytes    bigint[]      default null,
  counted       pg_snapshot[] default null,
  counted_in    text          default null
)
  returns setof bellwire.read_row
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  -- These settings give one generic plan that uses the indexes. Without them the planner assumes that a third of the table is new.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off
as $$
#variable_conflict use_column
declare
  present      pg_snapshot := pg_current_snapshot();
  shared_bytes bigint  := greatest(65536, 1048576 / cardinality(since));
  -- How much a row without texts counts towards page_size, in tenths of a row.
  light_tenths integer := case when cardinality(since) <= 10 then 1 else 10 end;
begin
  return query
  with readers as materialized (
    select r.reader,
           r.recipient_id,
           r.since,
           pg_snapshot_xmax(r.since) as since_xmax,
           array(select pg_snapshot_xip(r.since)) as since_in_progress,
           coalesce(r.upto, present) as moment,
           coalesce(r.after_stage, -1) as after_stage,
           coalesce(r.after_id, 0) as after_id,
           coalesce(r.page_bytes, shared_bytes) as page_bytes,
           r.counted,
           (
             select m
               from bellwire.mark_alls m
              where r.upto is null
                and coalesce(r.after_stage, -1) < 0
                and m.recipient_id = r.recipient_id
                and not pg_visible_in_snapshot(m.marked_xid, r.since)
                and pg_visible_in_snapshot(m.marked_xid, present)
                and bellwire.can_send_as_one_event(m, r.since)
           ) as mark
      from unnest(since, for_recipient, upto, after_stage, after_id, page_bytes, counted) with ordinality
           as r (since, recipient_id, upto, after_stage, after_id, page_bytes, counted, reader)
  ),
  -- Only ids, so that a backlog of a million rows is counted and sorted without reading its texts.
  found as materialized (
    select r.reader, f.*
      from readers r
     cross join lateral (
             select u.stage, u.id, u.changed_xid
               from bellwire.recipient_changes_since(r.recipient_id, r.since, r.since_xmax, r.since_in_progress, r.mark) u
              where bellwire.is_in_read(u.stage, u.created_xid, u.changed_xid, r.moment, present)
                and (u.stage, u.id) > (r.after_stage, r.after_id)
              limit most + 1
           ) f
  ),
  -- Readers that have missed more than `most` rows of any kind: how many of those rows are new notifications?
  behind as materialized (
    select r.*,
           (
             select count(*)
               from (
                      select
                        from bellwire.recipient_changes_since(r.recipient_id, r.since, r.since_xmax, r.since_in_progress, r.mark) u
                       where u.stage = 1
                         and pg_visible_in_snapshot(u.created_xid, r.moment)
                         and (u.stage, u.id) > (r.after_stage, r.after_id)
                       limit most + 1
                    ) u
           ) as fresh
      from readers r
     where r.reader in (select f.reader from found f group by f.reader having count(*) > most)
  ),
  pending as materialized (
    select f.*
      from found f
     where f.reader not in (select b.reader from behind b where b.fresh <= most)
     union all
    select b.reader, f.*
      from behind b
     cross join lateral (
             select u.stage, u.id, u.changed_xid
               from bellwire.recipient_changes_since(b.recipient_id, b.since, b.since_xmax, b.since_in_progress, b.mark) u
              where bellwire.is_in_read(u.stage, u.created_xid, u.changed_xid, b.moment, present)
                and (u.stage, u.id) > (b.after_stage, b.after_id)
           ) f
     where b.fresh <= most
  ),
  whole as materialized (
    select p.reader,
           count(*) as remaining,
           greatest(
             count(*) filter (where p.stage = 1),
             (select b.fresh from behind b where b.reader = p.reader)
           ) as fresh
      from pending p
     group by p.reader
  ),
  stored as (
    select p.reader,
           p.page_bytes,
           p.stage,
           p.id as place,
           p.recipient_id as told,
           p.changed_xid as told_xid,
           p.mark,
           n.*,
           sum(256 + bellwire.stored_bytes(p.stage, n.type, n.actor_id, n.title, n.body, n.link, n.data, cut_at))
             over (
               partition by p.reader order by p.stage, p.id
               rows between unbounded preceding and 1 preceding
             ) as stored_before
      from (
             select p.*,
                    r.page_bytes,
                    r.recipient_id,
                    case when p.stage = -1 then r.mark end as mark,
                    sum(case p.stage when 1 then 10 else light_tenths end) over (
                      partition by p.reader order by p.stage, p.id
                      rows between unbounded preceding and current row
                    ) as position
               from pending p
               join readers r on r.reader = p.reader
           ) p
     -- One index probe per row. The planner does not know page_size, so with a plain join it would scan the whole table.
      left join lateral (
             select n.*
               from bellwire.notifications n
              where n.id = p.id
                and p.stage > 0
              limit 1
           ) n on true
     where p.position <= 10 * page_size
       and (n.id is not null or p.stage <= 0)
  ),
  -- The columns as they are returned, only for the rows that fit by the estimate. From here on `data` is fetched; this part is
  -- materialized, so that it is fetched once.
  cut as materialized (
    select s.reader,
           s.page_bytes,
           s.stage,
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
           coalesce(s.seen_at, (s.mark).seen_at) as seen_at,
           coalesce(s.read_at, (s.mark).read_at) as read_at,
           s.archived_at,
           s.created_xid,
           s.told_xid as changed_xid
      from stored s
     where coalesce(s.stored_before, 0) < s.page_bytes
  ),
  -- The exact sizes. The first row that does not fit is here too, so that the head can report its size.
  sized as materialized (
    select c.*,
           coalesce(octet_length(c.data) > cut_at, false) as is_data_cut,
           sum(
             256
               + coalesce(octet_length(c.type), 0)
               + coalesce(octet_length(c.actor_id), 0)
               + coalesce(octet_length(c.title), 0)
               + coalesce(octet_length(c.body), 0)
               + coalesce(octet_length(c.link), 0)
               + case when c.data is null then 0 else least(octet_length(c.data), cut_at) end
           )
             over (
               partition by c.reader order by c.stage, c.id
               rows between unbounded preceding and current row
             ) as bytes
      from cut c
  ),
  taken as materialized (
    select s.reader, coalesce(max(s.bytes) filter (where s.bytes <= s.page_bytes), min(s.bytes)) as bytes
      from sized s
     group by s.reader
  ),
  ended as materialized (
    select r.reader, e.recipient_id, e.revoked_xid
      from readers r
     cross join lateral (
             select v.recipient_id, v.revoked_xid
               from bellwire.revocations v
              where v.recipient_id = r.recipient_id
                and not pg_visible_in_snapshot(v.revoked_xid, r.since)
              limit 1
           ) e
  ),
  -- Once for all readers.
  server as materialized (
    select bellwire.epoch() as epoch,
           bellwire.wakeups_suspended_ms() as suspended_ms,
           n.newest,
           n.pruned_xid
      from bellwire.newest_change() n
  ),
  uncounted as materialized (
    select distinct r.recipient_id
      from readers r
     cross join server s
     cross join lateral bellwire.is_unchanged(r.recipient_id, r.counted, s.pruned_xid) u
     where (
             s.epoch = counted_in
             and pg_snapshot_xmax(r.counted) <= pg_snapshot_xmax(present)
             and u.is_unchanged
           ) is not true
  ),
  counts as materialized (
    select u.recipient_id, badge.unread, badge.unseen
      from uncounted u
     cross join lateral bellwire.count_unread(u.recipient_id) badge
  )
  select r.reader,
         s.epoch,
         pg_current_snapshot(),
         s.newest,
         x.is_expired,
         coalesce(w.remaining, 0),
         coalesce(w.fresh, 0),
         coalesce(t.bytes, 0)::bigint,
         array(select e.recipient_id from ended e where e.reader = r.reader),
         s.suspended_ms,
         c.unread,
         c.unseen,
         null::integer as stage,
         null::bigint as id,
         r.recipient_id,
         null, null, null, null, null, null, null::boolean, null, null, null, null, null::xid8, null::xid8
    from readers r
   cross join server s
   cross join lateral bellwire.expiry_of(r.since_xmax, r.since_in_progress, s.pruned_xid) x
    left join whole w on w.reader = r.reader
    left join taken t on t.reader = r.reader
    left join counts c on c.recipient_id = r.recipient_id
   union all
  select p.reader,
         null, null, null, null, null, null, null, null, null, null, null,
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
    from sized p
   where p.bytes <= p.page_bytes
   order by reader, stage nulls first, id;
end;
$$;

comment on function bellwire.changes_for is
  'Internal. What each of several readers has missed, one recipient each: replays and the inbox''s cursor.';

revoke all on function bellwire.changes_for from public;
grant execute on function bellwire.changes_for to bellwire_service;
