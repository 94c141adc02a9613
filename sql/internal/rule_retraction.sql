-- The statement of a rule whose action is `retract`: it archives the notifications that the query names, by their key or by the
-- content of their data. `%s` stands for the query.
--
-- Rights   called by bellwire.rule_body()
-- Remove   with the schema
create or replace function bellwire.rule_retraction(columns text[])
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select format(
$retract$  update bellwire.notifications as n
     set archived_at = clock_timestamp()
   where n.id in (
           select told_of.id
             from (
%%s
                  ) as told
            cross join lateral (
                    -- The unread and the read ones have an index each.
                    select n.id
                      from bellwire.notifications n
                     where n.recipient_id = bellwire.same_id(told.recipient_id::text)
                       and n.read_at is null
                       and n.archived_at is null
                       and %1$s
                     union all
                    select n.id
                      from bellwire.notifications n
                     where n.recipient_id = bellwire.same_id(told.recipient_id::text)
                       and n.read_at is not null
                       and n.archived_at is null
                       and %1$s
                  ) as named
             join bellwire.notifications told_of on told_of.id = named.id
            where told_of.archived_at is null
            -- Always in the same order, or two statements could deadlock.
            order by told_of.id
              for update of told_of
         );
$retract$,
           concat_ws(
             e'\n                       and ',
             case when 'dedupe_key' = any (columns) then 'n.dedupe_key = told.dedupe_key::text' end,
             case when 'type' = any (columns) then 'n.type = told.type::text' end,
             case when 'data' = any (columns) then 'n.data @> told.data::jsonb' end
           )
         );
$$;

comment on function bellwire.rule_retraction(text[]) is
  'Internal. The statement of a rule whose action is retract.';

revoke all on function bellwire.rule_retraction(text[]) from public;
