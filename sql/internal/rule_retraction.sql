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
             join bellwire.notifications told_of
               on told_of.recipient_id = bellwire.same_id(told.recipient_id::text)
              and %s
            where num_nonnulls(told_of.archived_at) = 0
            -- Always in the same order, or two statements could deadlock.
            order by told_of.id
              for update of told_of
         );
$retract$,
           concat_ws(
             e'\n              and ',
             case when 'dedupe_key' = any (columns) then 'told_of.dedupe_key = told.dedupe_key::text' end,
             case when 'type' = any (columns) then 'told_of.type = told.type::text' end,
             case when 'data' = any (columns) then 'told_of.data @> told.data::jsonb' end
           )
         );
$$;

comment on function bellwire.rule_retraction(text[]) is
  'Internal. The statement of a rule whose action is retract.';

revoke all on function bellwire.rule_retraction(text[]) from public;
