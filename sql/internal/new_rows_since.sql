-- The feed's read in the ordinary case: a few new notifications since a snapshot, and nothing else. bellwire.changes_since() explains why
-- this is exact; it reads what this one leaves out.
--
-- Returns one row for each new notification, in no order, or one row without an `id` if there is none. The columns up to
-- `is_complete` are the same in each row:
--   snapshot       the moment of this call
--   file           the table's file, null if the table was replaced: another file means another history, as in bellwire.epoch()
--   suspended_ms   for how long no wake-ups will be sent
--   is_complete    false if the read may have more than these rows: mark-alls, removals, revocations, or rows that were pruned
-- A notification that is not new, that is marked, or whose texts or data are long, has `is_plain` false and no texts. A caller that finds
-- one, or as many rows as `at_most`, or an incomplete read, calls bellwire.changes_since() instead.
--
-- It is one flat query without settings, so that PostgreSQL inlines it into a prepared statement and plans it once. The session
-- must have the settings of bellwire.changes_since().
--
-- Cost     one probe of four indexes, and another for each transaction in progress in `since`
-- Rights   bellwire_service
-- Remove   drop function bellwire.new_rows_since;
-- requires: newest_other_change.sql
-- requires: stored_bytes.sql
-- requires: wakeups_suspended_ms.sql
-- requires: wire_time.sql
create or replace function bellwire.new_rows_since(since pg_snapshot, at_most integer, longest integer)
  returns table (
    snapshot     pg_snapshot,
    file         oid,
    suspended_ms double precision,
    is_complete  boolean,
    is_plain     boolean,
    id           bigint,
    recipient_id text,
    type         text,
    actor_id     text,
    title        text,
    body         text,
    link         text,
    data         text,
    created_at   text,
    created_xid  xid8,
    changed_xid  xid8
  )
  language sql
  stable
begin atomic
  with head as (
    select pg_current_snapshot() as snapshot,
           -- The constant is the table that this function reads, also after another one took its name.
           case
             when to_regclass('bellwire.notifications') = 'bellwire.notifications'::regclass
               then pg_relation_filenode('bellwire.notifications'::regclass)
           end as file,
           bellwire.wakeups_suspended_ms() as suspended_ms,
           case
             -- The snapshot sees everything older than its oldest transaction in progress.
             when o.newest < pg_snapshot_xmin(since) then true
             when o.newest >= pg_snapshot_xmax(since) then false
             else (select k.pruned_xid from bellwire.retention k limit 1) < pg_snapshot_xmin(since)
                  and not exists (
                        select
                          from (
                                 select r.removed_xid from bellwire.removals r
                                  union all
                                 select m.marked_xid from bellwire.mark_alls m
                                  union all
                                 select v.revoked_xid from bellwire.revocations v
                               ) other (xid)
                         where other.xid = any (array(select pg_snapshot_xip(since)))
                      )
           end as is_complete
      -- Without the offset the planner computes it for each use again.
      from (select * from bellwire.newest_other_change() offset 0) o
  ),
  rows as (
    (
      select n.*
        from bellwire.notifications n
       where n.changed_xid >= pg_snapshot_xmax(since)
         and pg_visible_in_snapshot(
               case when pg_visible_in_snapshot(n.created_xid, since) then n.changed_xid else n.created_xid end,
               pg_current_snapshot()
             )
       -- The planner assumes that a third of the table is new, and for so many rows it would rather read the whole index of the
       -- recipients. Only the index of changed_xid gives this order without a sort.
       order by n.changed_xid
       limit at_most
    )
     union all
    select n.*
      from bellwire.notifications n
     where n.changed_xid = any (array(select pg_snapshot_xip(since)))
       and pg_visible_in_snapshot(
             case when pg_visible_in_snapshot(n.created_xid, since) then n.changed_xid else n.created_xid end,
             pg_current_snapshot()
           )
  ),
  found as (
    select r.*,
           not pg_visible_in_snapshot(r.created_xid, since)
             and coalesce(r.seen_at, r.read_at, r.archived_at) is null
             and bellwire.stored_bytes(1, r.type, r.actor_id, r.title, r.body, r.link, r.data, null) <= longest
             -- Data can be much longer as text than it is stored.
             and octet_length(r.data::text) <= longest as is_plain
      from rows r
     limit at_most
  )
  select h.snapshot,
         h.file,
         h.suspended_ms,
         h.is_complete,
         f.is_plain,
         f.id,
         f.recipient_id,
         plain.type,
         plain.actor_id,
         plain.title,
         plain.body,
         plain.link,
         plain.data,
         bellwire.wire_time(f.created_at),
         f.created_xid,
         f.changed_xid
    from head h
    left join found f on true
    -- The texts of a row that is read again by bellwire.changes_since() may be huge, and stay in the database.
    left join lateral (
           select f.type, f.actor_id, f.title, f.body, f.link, f.data::text as data
            where f.is_plain
         ) plain on true;
end;

comment on function bellwire.new_rows_since is
  'Internal. The feed''s read in the ordinary case: a few new notifications since a snapshot, and nothing else.';

revoke all on function bellwire.new_rows_since from public;
grant execute on function bellwire.new_rows_since to bellwire_service;
