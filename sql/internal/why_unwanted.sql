-- Why a row of a rule's result would make no notification now, in a sentence, or null if it would make one. The conditions are those of
-- bellwire.is_wanted() and of the unique key.
--
-- Rights   called by bellwire.explain() and try_rule()
-- Remove   with the schema
create or replace function bellwire.why_unwanted(told bellwire.told)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
           when told.recipient_id is null then 'the recipient_id is null'
           when told.recipient_id = told.actor_id then format('%s is the actor', told.recipient_id)
           when told.type is null then 'the type is null, which is an error'
           when told.type = any (p.muted_types) then format(
             '%1$s has muted %2$s (the muted types of %1$s were last changed at %3$s)', told.recipient_id, told.type, p.changed_at::timestamptz(0)
           )
           when n.id is not null then format(
             'notification %s of %s has the dedupe_key %s', n.id, n.created_at::timestamptz(0), quote_literal(told.dedupe_key)
           )
         end
    from (values (true)) as one
    left join bellwire.preferences p on p.recipient_id = told.recipient_id
    left join bellwire.notifications n
      on n.recipient_id = told.recipient_id
     and n.dedupe_key = told.dedupe_key
     and n.type = told.type;
$$;

comment on function bellwire.why_unwanted(bellwire.told) is
  'Internal. Why a row of a rule''s result would make no notification.';

revoke all on function bellwire.why_unwanted(bellwire.told) from public;
