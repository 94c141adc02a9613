-- Everything a snapshot could not see: new notifications and changed ones, oldest first, of all recipients.
--
-- This is the live feed's read; bellwire.changes_for() is the same for single recipients. It is exact whatever the commit
-- order: a row visible now whose transaction was not visible in `since` (at or past its xmax, or in its in-progress list)
-- has not been delivered yet, and every other row has. `id > last` cannot know that: ids are drawn at insert and seen at
-- commit.
--
--   since          the reader's position
--   upto           goes on with an earlier, unfinished read: the snapshot that read returned
--   after_changed, after_id
--                  how far that read had come: past this id among the new rows, or, with
--                  after_changed, past all new rows and past this id among the changed ones
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
-- In a row of the page `data` is JSON as PostgreSQL prints it, times are as bellwire.wire_time() says, `is_cut` tells that there is
-- more of it in the table, and `unread` and `unseen` are its recipient's, if it was changed: an insert alone can be added up.
-- A row is new (`is_new`) when its insert was not visible in `since`, even if it was read meanwhile.
--
-- Cost     an index probe, and one for each transaction in progress in `since`; nothing depends on how long those stay open
-- Rights   bellwire_service
-- Remove   drop function bellwire.changes_since;
create or replace function bellwire.changes_since(
  since         pg_snapshot,
  upto          pg_snapshot default null,
  after_changed boolean     default false,
  after_id      bigint      default 0,
  page_size     integer     default 1000,
  cut_at        integer     default null
)
  returns table (
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
    data         text,
    is_cut       boolean,
    created_at   text,
    seen_at      text,
    read_at      text,
    archived_at  text,
    created_xid  xid8,
    changed_xid  xid8
  )
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
  moment            pg_snapshot := coalesce(upto, pg_current_snapshot());
begin
  return query
  -- Ids only: a backlog of a million rows is counted and sorted here, and its texts are left where they are.
  with pending as materialized (
    select found.is_new, found.id
      from (
             select n.id, n.created_xid, n.changed_xid, not pg_visible_in_snapshot(n.created_xid, since) as is_new
               from (
                      select since_xmax as first, '18446744073709551615'::xid8 as last
                       union all
                      select xid, xid from unnest(since_in_progress) as xid
                    ) unseen
              -- Between two bounds the planner expects little; of what is past one, a third of the table.
              cross join lateral (
                      select m.id, m.created_xid, m.changed_xid
                        from bellwire.notifications m
                       where m.changed_xid between unseen.first and unseen.last
                      offset 0
                    ) n
           ) found
     -- In an earlier read's page: only what that read saw. In a first one this leaves out nothing but
     -- rows of another history (a restored dump), whose ids this server has not reached.
     where pg_visible_in_snapshot(case when found.is_new then found.created_xid else found.changed_xid end, moment)
       and (not found.is_new, found.id) > (after_changed, after_id)
  ),
  stored as (
    select p.is_new,
           n.*,
           sum(
             least(pg_column_size(n.type), cut_at)
               + least(coalesce(pg_column_size(n.actor_id), 0), cut_at)
               + least(coalesce(pg_column_size(n.title), 0), cut_at)
               + least(coalesce(pg_column_size(n.body), 0), cut_at)
               + least(coalesce(pg_column_size(n.link), 0), cut_at)
               + least(pg_column_size(n.data), cut_at)
           )
             over (order by not p.is_new, p.id rows between unbounded preceding and 1 preceding) as stored_before
      from (select p.* from pending p order by not p.is_new, p.id limit page_size) p
     -- A probe for each; as a plain join the planner, which does not know page_size, walks the whole table.
     cross join lateral (select * from bellwire.notifications n where n.id = p.id limit 1) n
  ),
  -- As it is read, of those only that are small enough as stored: to know that, data must be fetched. Once: materialized.
  cut as materialized (
    select s.is_new,
           s.id,
           s.recipient_id,
           bellwire.cut_text(s.type, cut_at) as type,
           bellwire.cut_text(s.actor_id, cut_at) as actor_id,
           bellwire.cut_text(s.title, cut_at) as title,
           bellwire.cut_text(s.body, cut_at) as body,
           bellwire.cut_text(s.link, cut_at) as link,
           s.data::text as data,
           coalesce(
             greatest(
               octet_length(s.type), octet_length(s.actor_id), octet_length(s.title), octet_length(s.body), octet_length(s.link)
             ) > cut_at,
             false
           ) as is_cut,
           s.created_at,
           s.seen_at,
           s.read_at,
           s.archived_at,
           s.created_xid,
           s.changed_xid
      from stored s
     where coalesce(s.stored_before, 0) < 1048576
  ),
  sized as (
    select c.*,
           coalesce(octet_length(c.data) > cut_at, false) as is_data_cut,
           sum(
             octet_length(c.type)
               + coalesce(octet_length(c.actor_id), 0)
               + coalesce(octet_length(c.title), 0)
               + coalesce(octet_length(c.body), 0)
               + coalesce(octet_length(c.link), 0)
               + least(octet_length(c.data), cut_at)
           )
             over (order by not c.is_new, c.id rows between unbounded preceding and 1 preceding) as bytes_before
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
      from (select distinct p.recipient_id from page p where not p.is_new) told
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
    select e.recipient_id, e.revoked_xid
      from bellwire.revocations e
     where e.revoked_xid >= since_xmax
     union all
    select e.recipient_id, e.revoked_xid
      from bellwire.revocations e
     where e.revoked_xid = any (since_in_progress)
  ),
  server as materialized (
    select -- Of anybody's, so that a quiet recipient's position moves on, too, and does not expire.
           (select n.changed_xid from bellwire.notifications n order by n.changed_xid desc limit 1) as newest,
           -- Changed last by a transaction that began before the one that inserted it.
           (
             select n.created_xid
               from bellwire.notifications n
              where n.created_xid > n.changed_xid
              order by n.created_xid desc
              limit 1
           ) as newest_created,
           (select v.revoked_xid from bellwire.revocations v order by v.revoked_xid desc limit 1) as newest_revoked,
           pg_sequence_last_value('bellwire.history_began_xid')::text::xid8 as history_began,
           -- As a subselect, which gives a value also where a restore has left no row.
           coalesce((select k.pruned_xid from bellwire.retention k limit 1), '0') as pruned_xid
  )
  select bellwire.epoch(),
         pg_current_snapshot(),
         greatest(s.newest, s.newest_created, s.newest_revoked, s.pruned_xid, s.history_began),
         -- What is still in progress has had nothing pruned.
         s.pruned_xid >= since_xmax
           or exists (
                select
                  from unnest(since_in_progress) as xid
                 where xid <= s.pruned_xid
                   and pg_visible_in_snapshot(xid, pg_current_snapshot())
              ),
         (select count(*) from pending),
         array(select e.recipient_id from ended e),
         bellwire.wakeups_suspended_ms(),
         null::bigint,
         null::bigint,
         null::boolean as is_new,
         null::bigint as id,
         null, null, null, null, null, null, null, null::boolean, null, null, null, null, null::xid8, null::xid8
    from server s
   union all
  select null, null, null, null, null, null, null,
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
         case when p.is_data_cut then '{}' else p.data end,
         p.is_cut or p.is_data_cut,
         bellwire.wire_time(p.created_at),
         bellwire.wire_time(p.seen_at),
         bellwire.wire_time(p.read_at),
         bellwire.wire_time(p.archived_at),
         p.created_xid,
         p.changed_xid
    from page p
    left join counts c on c.recipient_id = p.recipient_id and not p.is_new
   order by is_new desc nulls first, id;
end;
$$;

comment on function bellwire.changes_since is
  'Everything a snapshot could not see, oldest first, of all recipients: the live feed''s read.';

revoke all on function bellwire.changes_since from public;
grant execute on function bellwire.changes_since to bellwire_service;
