-- A rule's query for one event. An insert has no old rows and a delete has no new ones, so PostgreSQL does not provide that
-- transition table; the query gets an empty one, with the columns of the other. A query that does not name it is not changed.
--
-- Rights   called by bellwire.define_rule(), and by rules, as bellwire_rules
-- Remove   with the schema
create or replace function bellwire.rule_source(query text, event text)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case
           when event = 'insert' and query ~* e'\\mold_rows\\M' then
             format(e'with old_rows as (select * from new_rows where false)\nselect * from (\n%s\n) as asked', query)
           when event = 'delete' and query ~* e'\\mnew_rows\\M' then
             format(e'with new_rows as (select * from old_rows where false)\nselect * from (\n%s\n) as asked', query)
           else query
         end;
$$;

comment on function bellwire.rule_source(text, text) is
  'Internal. A rule''s query for one event: the transition table that the event lacks is empty.';

revoke all on function bellwire.rule_source(text, text) from public;
grant execute on function bellwire.rule_source(text, text) to bellwire_rules;
