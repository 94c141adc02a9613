-- Writes one notification, from hand-written SQL or a cron job.
--
--   select bellwire.notify('42', 'report.ready', title => 'Your report is ready', link => '/reports/7');
--
-- Returns its id, or null if it was dropped: no recipient, the recipient is the actor, a muted type, or a dedupe_key that this
-- recipient already has for this type. Unlike a rule it raises its errors, because the caller asked for one notification. But the
-- dedupe_key of another transaction never fails this one. A deadlock of the two, or the end of a lock_timeout, is recorded in
-- bellwire.rule_errors under the name notify(), and the notification is dropped. A key that is committed already, but that this
-- transaction cannot see, is a duplicate.
--
-- Rights   none by default; grant usage on schema bellwire to <role>;
--          grant execute on function bellwire.notify to <role>;
-- Remove   drop function bellwire.notify;
-- requires: same_id.sql
create or replace function bellwire.notify(
  recipient_id text,
  type         text,
  actor_id     text  default null,
  title        text  default null,
  body         text  default null,
  link         text  default null,
  data         jsonb default null,
  dedupe_key   text  default null
)
  returns bigint
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  told     constant text := bellwire.same_id(notify.recipient_id);
  actor    constant text := bellwire.same_id(notify.actor_id);
  notified bigint;
  reason   text;
begin
  if notify.dedupe_key is null then
    insert into bellwire.notifications (recipient_id, type, actor_id, title, body, link, data)
    select told, notify.type, actor, notify.title,
           notify.body, notify.link, coalesce(notify.data, '{}')
     where bellwire.is_wanted(told, notify.type, actor)
    returning id
      into notified;
  else
    begin
      insert into bellwire.notifications
             (recipient_id, type, actor_id, title, body, link, data, dedupe_key)
      select told, notify.type, actor, notify.title,
             notify.body, notify.link, coalesce(notify.data, '{}'), notify.dedupe_key
       where bellwire.is_wanted(told, notify.type, actor)
          on conflict (recipient_id, dedupe_key, type) where dedupe_key is not null
             do nothing
      returning id
        into notified;
    exception
      when deadlock_detected or lock_not_available then
        perform bellwire.record_rule_error('notify()', sqlstate, sqlerrm, 1);
      when serialization_failure then
        get stacked diagnostics reason = pg_exception_detail;
        -- Without a reason it is about the key, see bellwire.insert_valid_rows().
        if reason <> '' then
          raise;
        end if;
    end;
  end if;
  if notified is not null then
    perform bellwire.wake_listeners();
  end if;
  return notified;
end;
$$;

comment on function bellwire.notify is
  'Writes one notification; returns its id, or null if it was dropped (no recipient, the actor itself, a muted type, a dedupe_key that exists).';

revoke all on function bellwire.notify from public;
