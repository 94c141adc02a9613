-- One notification from hand-written SQL or a cron job.
--
--   select bellwire.notify('42', 'report.ready', title => 'Your report is ready', link => '/reports/7');
--
-- Returns its id, or null where it was dropped: no recipient, the actor telling itself, a muted type, or
-- a dedupe_key this recipient has had already. Unlike a rule it raises what goes wrong: the caller asked.
--
-- Rights   none by default; grant usage on schema bellwire to <role>;
--          grant execute on function bellwire.notify to <role>;
-- Remove   drop function bellwire.notify;
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
  notified bigint;
begin
  insert into bellwire.notifications
         (recipient_id, type, actor_id, title, body, link, data, dedupe_key)
  select notify.recipient_id, notify.type, notify.actor_id, notify.title,
         notify.body, notify.link, coalesce(notify.data, '{}'), notify.dedupe_key
   where bellwire.is_wanted(notify.recipient_id, notify.type, notify.actor_id)
      on conflict (recipient_id, dedupe_key) where dedupe_key is not null
         do nothing
  returning id
    into notified;
  if found then
    perform bellwire.wake_listeners();
  end if;
  return notified;
end;
$$;

comment on function bellwire.notify is
  'Writes one notification; returns its id, or null where it was dropped (no recipient, the actor itself, muted, a used dedupe_key).';

revoke all on function bellwire.notify from public;
