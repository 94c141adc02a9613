-- Deletes up to 1,000 notifications older than a time, oldest first; returns how many. Call it again while it returns 1,000.
--
--   select bellwire.prune(now() - interval '90 days');
--
-- Each call is one small transaction, so that no other transaction waits for long. `npx bellwire prune` repeats it until nothing is
-- left. Open pages remove the notifications, as after a plain DELETE (bellwire.removals). Each call also deletes up to 20,000 removals
-- of that age, which it does not count. A client whose cursor is older than the deleted notifications, or than the deleted removals,
-- has to fetch its list (`cursor_expired`). A deleted notification that had been given to another recipient expires no cursor.
--
-- It refuses to delete notifications younger than bellwire.retention.minimum_age (a day, unless its owner changes that), so that
-- the service's login cannot empty the table.
--
-- Rights   bellwire_service
-- Remove   drop function bellwire.prune(timestamptz);
create or replace function bellwire.prune(before timestamptz)
  returns bigint
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  pruned    bigint;
  newest    xid8;
  forgotten xid8;
  minimum_age constant interval := coalesce((select r.minimum_age from bellwire.retention r), '1 day');
begin
  perform bellwire.triggers_fire();
  if prune.before > clock_timestamp() - minimum_age then
    raise exception 'notifications younger than % are not pruned', minimum_age
      using errcode = 'invalid_parameter_value',
            hint = format(
              'As a member of bellwire_owner: update bellwire.retention set minimum_age = %L; with the age you want.',
              minimum_age
            );
  end if;
  with deleted as (
    delete from bellwire.notifications
     where id in (
             -- Ids grow with time, so the oldest rows are at the start of the primary key.
             select oldest.id
               from (select n.id, n.created_at from bellwire.notifications n order by n.id limit 1000) oldest
              where oldest.created_at < prune.before
           )
    returning id, created_xid
  ),
  -- A notification that was given to another recipient has the created_xid of that change. That must not expire other positions.
  moved as materialized (
    select r.notification_id, r.removed_xid
      from (select distinct d.created_xid from deleted d) d
     cross join lateral (
             select x.notification_id, x.removed_xid
               from bellwire.removals x
              where x.removed_xid = d.created_xid
             offset 0
           ) r
  )
  -- xid8 has no max() before PostgreSQL 16.
  select count(*),
         (
           max(d.created_xid::text::numeric)
             filter (where (d.id, d.created_xid) not in (select m.notification_id, m.removed_xid from moved m))
         )::text::xid8
    into pruned, newest
    from deleted d;
  -- Nearly always the oldest removal is too young, and no others are read.
  if prune.before > (select r.removed_at from bellwire.removals r order by r.removed_xid limit 1) then
    with oldest as (
      select r.recipient_id, r.removed_xid, r.notification_id, r.removed_at
        from bellwire.removals r
       order by r.removed_xid
       limit 20000
    ),
    deleted as (
      delete from bellwire.removals r
       using oldest o
       where o.removed_at < prune.before
         and (r.recipient_id, r.removed_xid, r.notification_id) = (o.recipient_id, o.removed_xid, o.notification_id)
      returning r.removed_xid
    )
    select max(d.removed_xid::text::numeric)::text::xid8
      into forgotten
      from deleted d;
  end if;
  insert into bellwire.retention as r (pruned_xid)
  select greatest(newest, forgotten)
   where num_nonnulls(newest, forgotten) > 0
      on conflict (is_only)
         do update
        set pruned_xid = excluded.pruned_xid
      where r.pruned_xid < excluded.pruned_xid;
  -- No reader that can still resume needs these.
  delete from bellwire.mark_alls where marked_xid <= greatest(newest, forgotten);
  delete from bellwire.rule_error_log where last_at < prune.before;
  return pruned;
end;
$$;

comment on function bellwire.prune(timestamptz) is
  'Deletes up to 1,000 notifications older than a time; returns how many. Call it again while it returns 1,000.';

revoke all on function bellwire.prune(timestamptz) from public;
grant execute on function bellwire.prune(timestamptz) to bellwire_service;
