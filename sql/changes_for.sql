-- Everything snapshots could not see: new notifications and changed ones, oldest first, each of one recipient.
--
-- bellwire.changes_since() for single recipients, many in one call: behind the replays of streams and the inbox's cursor. Each
-- reader is one element of every array; an array that is shorter, or left out, gives nulls.
--   since          the reader's position
--   for_recipient  whose changes
--   upto, after_changed, after_id
--                  go on with an earlier, unfinished read
-- and for each of them alike:
--   page_size      how many rows at the most; fewer where their texts come to more than a megabyte, which many
--                  readers share, though each has 64 KB
--   most           a reader who has missed more than this is to fetch its list again: no more are looked for, and those
--                  found are any. Null: no limit
--
-- Returns for each reader (`reader`, from 1) first a head, whose `id` is null, then its page, as changes_since() does. In the
-- head `unread` and `unseen` are the recipient's, and `revoked` is it at the most.
--
-- Cost     two index probes a reader and branch; nothing depends on how long other transactions stay open
-- Rights   bellwire_service
-- Remove   drop function bellwire.changes_for;
create or replace function bellwire.changes_for(
  since         pg_snapshot[],
  for_recipient text[],
  upto          pg_snapshot[] default null,
  after_changed boolean[]     default null,
  after_id      bigint[]      default null,
  page_size     integer       default 1000,
  most          integer       default null
)
  returns table (
    reader       bigint,
    epoch        text,
    snapshot     pg_snapshot,
    newest       xid8,
    is_expired   boolean,
    remaining    bigint,
    revoked      text[],
    suspended_ms double precision,
    unread       bigint,
    unseen       bigint,
    is_new       boolean,
    id           bigint,
    recipient_id text,
    type         text,
    actor_id     text,
    title        text,
    body         text,
    link         text,
    data         jsonb,
    created_at   timestamptz,
    seen_at      timestamptz,
    read_at      timestamptz,
    archived_at  timestamptz,
    created_xid  xid8,
    changed_xid  xid8
  )
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  -- One plan for ever, on the indexes: without these the planner takes a third of the table for new.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off
as $$
#variable_conflict use_column
declare
  page_bytes bigint := greatest(65536, 1048576 / cardinality(since));
begin
  return query
  with readers as materialized (
    select r.reader,
           r.recipient_id,
           r.since,
           pg_snapshot_xmax(r.since) as since_xmax,
           array(select pg_snapshot_xip(r.since)) as since_in_progress,
           coalesce(r.upto, pg_current_snapshot()) as moment,
           coalesce(r.after_changed, false) as after_changed,
           coalesce(r.after_id, 0) as after_id
      from unnest(since, for_recipient, upto, after_changed, after_id) with ordinality
           as r (since, recipient_id, upto, after_changed, after_id, reader)
  ),
  -- Ids only: a backlog of a million rows is counted and sorted here, and its texts are left where they are.
  pending as materialized (
    select r.reader, f.*
      from readers r
     cross join lateral (
             select found.is_new, found.id, greatest(found.created_xid, found.changed_xid) as xid
               from (
                      select n.id, n.created_xid, n.changed_xid, not pg_visible_in_snapshot(n.created_xid, r.since) as is_new
                        from bellwire.notifications n
                       where n.recipient_id = r.recipient_id
                         and n.changed_xid >= r.since_xmax
                      union all
                      select n.id, n.created_xid, n.changed_xid, not pg_visible_in_snapshot(n.created_xid, r.since)
                        from unnest(r.since_in_progress) as missing (xid)
                       -- A probe for each; with = any() a table that few transactions have written (an import) is read by
                       -- its recipient alone.
                       cross join lateral (
                               select m.id, m.created_xid, m.changed_xid
                                 from bellwire.notifications m
                                where m.recipient_id = r.recipient_id
                                  and m.changed_xid = missing.xid
                               offset 0
                             ) n
                    ) found
              -- In an earlier read's page: only what that read saw. In a first one this leaves out nothing but
              -- rows of another history (a restored dump), whose ids this server has not reached.
              where pg_visible_in_snapshot(case when found.is_new then found.created_xid else found.changed_xid end, r.moment)
                and (not found.is_new, found.id) > (r.after_changed, r.after_id)
              limit most + 1
           ) f
  ),
  whole as materialized (
    select p.reader,
           count(*) as remaining,
           -- xid8 has no max() before PostgreSQL 16
           (array_agg(p.xid order by p.xid desc))[1] as newest
      from pending p
     group by p.reader
  ),
  stored as (
    select p.reader,
           p.is_new,
           n.*,
           sum(coalesce(pg_column_size(n.title), 0) + coalesce(pg_column_size(n.body), 0) + pg_column_size(n.data))
             over (
               partition by p.reader order by not p.is_new, p.id
               rows between unbounded preceding and 1 preceding
             ) as stored_before
      from (
             select p.*, row_number() over (partition by p.reader order by not p.is_new, p.id) as position
               from pending p
           ) p
     -- A probe for each; as a plain join the planner, which does not know page_size, walks the whole table.
     cross join lateral (select * from bellwire.notifications n where n.id = p.id limit 1) n
     where p.position <= page_size
  ),
  -- The size as it is read, of those only that are small enough as stored: to know it, data must be fetched.
  sized as (
    select s.*,
           sum(coalesce(octet_length(s.title), 0) + coalesce(octet_length(s.body), 0) + octet_length(s.data::text))
             over (
               partition by s.reader order by not s.is_new, s.id
               rows between unbounded preceding and 1 preceding
             ) as bytes_before
      from stored s
     where coalesce(s.stored_before, 0) < page_bytes
  ),
  page as materialized (
    select s.*
      from sized s
     -- Whoever reads a page holds it in memory. The first row has none before it, so there is always one.
     where coalesce(s.bytes_before, 0) < page_bytes
  ),
  counts as materialized (
    select told.recipient_id, badge.unread, badge.unseen
      from (select distinct r.recipient_id from readers r) told
     cross join lateral (
             select count(*) as unread,
                    count(*) filter (where n.seen_at is null) as unseen
               from bellwire.notifications n
              where n.recipient_id = told.recipient_id
                and n.read_at is null
                and n.archived_at is null
           ) badge
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
  -- Once, not for every row.
  server as materialized (
    select bellwire.epoch() as epoch,
           -- Of anybody's, so that a quiet recipient's position moves on, too, and does not expire.
           (select n.changed_xid from bellwire.notifications n order by n.changed_xid desc limit 1) as newest,
           -- As a subselect, which gives a value also where a restore has left no row.
           coalesce((select k.pruned_xid from bellwire.retention k limit 1), '0') as pruned_xid,
           bellwire.wakeups_suspended_ms() as suspended_ms
  )
  select r.reader,
         s.epoch,
         pg_current_snapshot(),
         greatest(
           w.newest,
           (select e.revoked_xid from ended e where e.reader = r.reader order by e.revoked_xid desc limit 1),
           s.pruned_xid,
           s.newest
         ),
         -- What is still in progress has had nothing pruned.
         s.pruned_xid >= r.since_xmax
           or exists (
                select
                  from unnest(r.since_in_progress) as xid
                 where xid <= s.pruned_xid
                   and pg_visible_in_snapshot(xid, pg_current_snapshot())
              ),
         coalesce(w.remaining, 0),
         array(select e.recipient_id from ended e where e.reader = r.reader),
         s.suspended_ms,
         c.unread,
         c.unseen,
         null::boolean as is_new,
         null::bigint as id,
         r.recipient_id,
         null, null, null, null, null, null::jsonb,
         null::timestamptz, null::timestamptz, null::timestamptz, null::timestamptz, null::xid8, null::xid8
    from readers r
   cross join server s
    left join whole w on w.reader = r.reader
    left join counts c on c.recipient_id = r.recipient_id
   union all
  select p.reader,
         null, null, null, null, null, null, null, null, null,
         p.is_new,
         p.id,
         p.recipient_id,
         p.type,
         p.actor_id,
         p.title,
         p.body,
         p.link,
         p.data,
         p.created_at,
         p.seen_at,
         p.read_at,
         p.archived_at,
         p.created_xid,
         p.changed_xid
    from page p
   order by reader, is_new desc nulls first, id;
end;
$$;

comment on function bellwire.changes_for is
  'Everything snapshots could not see, oldest first, each of one recipient: behind replays and the inbox''s cursor.';

revoke all on function bellwire.changes_for from public;
grant execute on function bellwire.changes_for to bellwire_service;
