-- Everything a snapshot could not see: new notifications and changed ones, oldest first.
--
-- This is the one read behind the live feed (for all recipients), a stream's replay (for one) and the
-- inbox's cursor. It is exact whatever the commit order: a row visible now whose transaction was not
-- visible in `since` (at or past its xmax, or in its in-progress list) has not been delivered yet, and
-- every other row has. `id > last` cannot know that: ids are drawn at insert and seen at commit.
--
--   since          the reader's position
--   for_recipient  one recipient only; null for all
--   upto           goes on with an earlier, unfinished read: the snapshot that read returned
--   after_changed, after_id
--                  how far that read had come: past this id among the new rows, or, with
--                  after_changed, past all new rows and past this id among the changed ones
--   page_size      how many rows at the most; fewer where their texts come to more than a megabyte
--
-- Returns at least one row; with nothing to report its `id` is null. On every row:
--   epoch, snapshot        the history and the moment of this call
--   newest                 the greatest transaction id of any row that is seen, or was before it was pruned: where a
--                          reader who has this read may say he is
--   is_expired             notifications that `since` had not seen have been pruned, so the read may lack some
--   remaining              how many rows the read had left, this page included
--   revoked                recipients whose access was revoked since
--   unread, unseen         the row's recipient's counts (of for_recipient where there is no row)
-- A row is new (`is_new`) when its insert was not visible in `since`, even if it was read meanwhile.
--
-- Cost     two index probes a branch; nothing depends on how long other transactions stay open
-- Rights   bellwire_service
-- Remove   drop function bellwire.changes_since;
create or replace function bellwire.changes_since(
  since         pg_snapshot,
  for_recipient text        default null,
  upto          pg_snapshot default null,
  after_changed boolean     default false,
  after_id      bigint      default 0,
  page_size     integer     default 1000
)
  returns table (
    epoch        text,
    snapshot     pg_snapshot,
    newest       xid8,
    is_expired   boolean,
    remaining    bigint,
    revoked      text[],
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
  since_xmax        xid8        := pg_snapshot_xmax(since);
  since_in_progress xid8[]      := array(select pg_snapshot_xip(since));
  moment            pg_snapshot := coalesce(upto, pg_current_snapshot());
begin
  return query
  with found as (
    select n.id, n.created_xid, n.changed_xid, not pg_visible_in_snapshot(n.created_xid, since) as is_new
      from bellwire.notifications n
     where for_recipient is null
       and n.changed_xid >= since_xmax
    union all
    select n.id, n.created_xid, n.changed_xid, not pg_visible_in_snapshot(n.created_xid, since) as is_new
      from bellwire.notifications n
     where for_recipient is null
       and n.changed_xid = any (since_in_progress)
    union all
    select n.id, n.created_xid, n.changed_xid, not pg_visible_in_snapshot(n.created_xid, since) as is_new
      from bellwire.notifications n
     where n.recipient_id = for_recipient
       and n.changed_xid >= since_xmax
    union all
    select n.id, n.created_xid, n.changed_xid, not pg_visible_in_snapshot(n.created_xid, since) as is_new
      from unnest(since_in_progress) as missing (xid)
     -- A probe for each: with = any() a table that few transactions have written (an import) is read by its recipient alone.
     cross join lateral (
             select m.id, m.created_xid, m.changed_xid
               from bellwire.notifications m
              where m.recipient_id = for_recipient
                and m.changed_xid = missing.xid
             offset 0
           ) n
  ),
  -- Ids only: a backlog of a million rows is counted and sorted here, and its texts are left where they are.
  pending as materialized (
    select f.is_new, f.id, f.created_xid, f.changed_xid
      from found f
     -- In an earlier read's page: only what that read saw. In a first one this leaves out nothing but
     -- rows of another history (a restored dump), whose ids this server has not reached.
     where pg_visible_in_snapshot(case when f.is_new then f.created_xid else f.changed_xid end, moment)
       and (not f.is_new, f.id) > (after_changed, after_id)
  ),
  whole as materialized (
    -- xid8 has no max() before PostgreSQL 16
    select max(greatest(p.created_xid, p.changed_xid)::text::numeric) as newest,
           count(*) as remaining
      from pending p
  ),
  stored as (
    select p.is_new,
           n.*,
           sum(coalesce(pg_column_size(n.title), 0) + coalesce(pg_column_size(n.body), 0) + pg_column_size(n.data))
             over (order by not p.is_new, p.id rows between unbounded preceding and 1 preceding) as stored_before
      from (select * from pending order by not is_new, id limit page_size) p
     -- A probe for each; as a plain join the planner, which does not know page_size, walks the whole table.
     cross join lateral (select * from bellwire.notifications n where n.id = p.id limit 1) n
  ),
  -- The size as it is read, of those only that are small enough as stored: to know it, data must be fetched.
  sized as (
    select s.*,
           sum(coalesce(octet_length(s.title), 0) + coalesce(octet_length(s.body), 0) + octet_length(s.data::text))
             over (order by not s.is_new, s.id rows between unbounded preceding and 1 preceding) as bytes_before
      from stored s
     where coalesce(s.stored_before, 0) < 1048576
  ),
  page as materialized (
    select s.*
      from sized s
     -- Whoever reads a page holds it in memory. The first row has none before it, so there is always one.
     where coalesce(s.bytes_before, 0) < 1048576
  ),
  counts as materialized (
    select told.recipient_id, badge.unread, badge.unseen
      from (
             select p.recipient_id from page p
             union
             select for_recipient where for_recipient is not null
           ) told
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
    select r.recipient_id, r.revoked_xid
      from bellwire.revocations r
     where r.revoked_xid >= since_xmax
    union all
    select r.recipient_id, r.revoked_xid
      from bellwire.revocations r
     where r.revoked_xid = any (since_in_progress)
  )
  select bellwire.epoch(),
         pg_current_snapshot(),
         greatest(
           w.newest,
           (select max(e.revoked_xid::text::numeric) from ended e),
           kept.pruned_xid::text::numeric,
           -- Of anybody's, so that a quiet recipient's position moves on, too, and does not expire.
           (select n.changed_xid::text::numeric from bellwire.notifications n order by n.changed_xid desc limit 1)
         )::text::xid8,
         -- What is still in progress has had nothing pruned.
         kept.pruned_xid >= since_xmax
           or exists (
                select
                  from unnest(since_in_progress) as xid
                 where xid <= kept.pruned_xid
                   and pg_visible_in_snapshot(xid, pg_current_snapshot())
              ),
         w.remaining,
         array(select e.recipient_id from ended e),
         c.unread,
         c.unseen,
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
    from whole w
   -- As max(), which gives a row also where a restore has left none.
   cross join (
          select coalesce(max(r.pruned_xid::text::numeric)::text, '0')::xid8 as pruned_xid
            from bellwire.retention r
        ) kept
    left join page p on true
    left join counts c on c.recipient_id = coalesce(p.recipient_id, for_recipient)
   order by not p.is_new, p.id;
end;
$$;

comment on function bellwire.changes_since is
  'Everything a snapshot could not see, oldest first: the one read behind live feed, replay and cursor.';

revoke all on function bellwire.changes_since from public;
grant execute on function bellwire.changes_since to bellwire_service;
