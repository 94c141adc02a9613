-- The first 140 characters of a text, with an ellipsis if it was cut: for the body of a notification. In a database that is not
-- UTF8 it ends in three dots, because few other encodings have the character.
--
-- It is not strict and sets no search_path, so that PostgreSQL can inline it into a rule's query. Its names are resolved when it is
-- created.
--
-- Rights   anyone; rules call it
-- Remove   drop function bellwire.preview(text);  (rules that call it then fail, and bellwire.rules shows that)
create or replace function bellwire.preview(body text)
  returns text
  language sql
  stable
  parallel safe
  return case
           when length(body) <= 140 then body
           when getdatabaseencoding() <> 'UTF8' then rtrim(left(body, 137)) || '...'
           -- Not chr(8230), which the planner would evaluate in every database, and which fails in some encodings.
           else rtrim(left(body, 139)) || chr(case getdatabaseencoding() when 'UTF8' then 8230 end)
         end;

comment on function bellwire.preview(text) is
  'The first 140 characters of a text, with an ellipsis if it was cut.';
