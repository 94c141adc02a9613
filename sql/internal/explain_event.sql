-- What a rule does with one row of its table for one recipient on one event, and why, one line a reason. `would` says that it would tell
-- the recipient, and that no such notification exists.
--
-- Rights   called by bellwire.explain_rule()
-- Remove   with the schema
-- requires: ask_rule.sql
-- requires: state_of.sql
-- requires: why_empty.sql
-- requires: why_unwanted.sql
create or replace function bellwire.explain_event(
  definition bellwire.rule_definitions,
  event      text,
  place      tid,
  partition  oid,
  written_by xid8,
  recipient  text
)
  returns table (told text, reason text, would boolean)
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  answer   constant jsonb := bellwire.ask_rule(
    definition.query, definition.on_table, explain_event.event, explain_event.place, explain_event.partition, explain_event.recipient
  );
  -- Whether the result depends on the old row of an update, which nothing stores.
  compares constant boolean := explain_event.event = 'update' and definition.query ~* e'\\mold_rows\\M';
  n        bellwire.notifications;
  wanted   bellwire.told;
  unwanted text;
  empty    record;
begin
  if answer is null then
    return query select 'unknown', format('On %s: the row has changed meanwhile. Ask again.', event), false;
  elsif answer ? 'error' then
    return query select 'unknown', format('On %s: its query fails: %s.', event, answer ->> 'error'), false;
  elsif (answer ->> 'rows')::bigint = 0 then
    empty := bellwire.why_empty(answer -> 'plan', answer -> 'written');
    return query
      select case when compares and empty.about_old then 'unknown' else 'no' end,
             format('On %s: %s.', event, empty.reason)
             || case when compares and empty.about_old then ' Nothing stores the old row, so whether the update met this is unknown.' else '' end,
             false;
  elsif answer -> 'told' = '[]' then
    return query
      select 'no',
             case
               when answer ->> 'nobody' = answer ->> 'rows' then format('On %s: its query returns no recipient_id.', event)
               else format(
                 'On %s: its query returns other recipients: %s.',
                 event, (select string_agg(o, ', ') from jsonb_array_elements_text(answer -> 'others') o)
               )
             end,
             false;
  elsif definition.action = 'revoke' then
    return query
      select null::text,
             format('On %s it revokes the access of %s', event, recipient)
             || case when compares then ', if the update changed what its query compares; nothing stores the old row. ' else '. ' end
             || coalesce((select format('Revoked last at %s.', r.revoked_at::timestamptz(0)) from bellwire.revocations r where r.recipient_id = recipient),
                         'It was never revoked.'),
             false;
  elsif definition.action = 'retract' then
    return query
      select null::text,
             format('On %s it archives ', event)
             || coalesce(string_agg(format('notification %s (%s)', m.id, bellwire.state_of(m)), ', ' order by m.id), 'nothing: no notification fits')
             || case when compares then '; if the update changed what its query compares; nothing stores the old row.' else '.' end,
             false
        from jsonb_populate_recordset(null::bellwire.told, answer -> 'told') as w
        join bellwire.notifications m
          on m.recipient_id = w.recipient_id
         and (w.dedupe_key is null or m.dedupe_key = w.dedupe_key)
         and (w.type is null or m.type = w.type)
         and (w.data is null or m.data @> w.data::jsonb);
  else
    for wanted in select (jsonb_populate_record(null::bellwire.told, w)).* from jsonb_array_elements(answer -> 'told') w loop
      begin
        -- Is it there? With the same content, or at least written by the row's transaction.
        select m.*
          into n
          from bellwire.notifications m
         cross join lateral (
                 select m.dedupe_key is not distinct from wanted.dedupe_key
                        and m.link is not distinct from wanted.link
                        and m.data = coalesce(wanted.data::jsonb, '{}')
                        and (m.data <> '{}' or (m.title, m.body) is not distinct from (wanted.title, wanted.body))
               ) as s (same)
         where m.recipient_id = recipient
           and m.type = wanted.type
           and (s.same or m.created_xid = written_by)
         order by s.same desc, m.created_xid = written_by desc, m.id desc
         limit 1;
        unwanted := bellwire.why_unwanted(wanted);
        return query
          select case when n.id is null then 'no' else 'yes' end,
                 format('On %s: ', event) || case
                   when n.id is not null then format(
                     'notification %s of type %s, written at %s, %s.', n.id, n.type, n.created_at::timestamptz(0), bellwire.state_of(n)
                   )
                   when unwanted is not null then format('its query returns %s, but %s.', recipient, unwanted)
                   when event = 'delete' then format('its query will return %s, with type %s. The row is still there.', recipient, wanted.type)
                   else format('its query returns %s now, with type %s', recipient, wanted.type)
                        || case when compares then ', if the update changed what it compares; nothing stores the old row.' else '.' end
                        || ' But there is no such notification.'
                 end,
                 n.id is null and unwanted is null and event <> 'delete';
      exception
        when data_exception then
          return query select 'no', format('On %s: its query returns %s, but the row cannot be written: %s %s.', event, recipient, sqlstate, sqlerrm), false;
      end;
    end loop;
  end if;
end;
$$;

comment on function bellwire.explain_event(bellwire.rule_definitions, text, tid, oid, xid8, text) is
  'Internal. What a rule does with one row of its table for one recipient on one event, and why.';

revoke all on function bellwire.explain_event(bellwire.rule_definitions, text, tid, oid, xid8, text) from public;
