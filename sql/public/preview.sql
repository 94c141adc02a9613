-- A text's first 140 characters, with an ellipsis where it was cut: for a notification's body. Three dots where the database is
-- not in UTF8, for few other encodings have the character.
--
-- Neither strict nor with a search_path of its own, so that a rule's plan takes it in. Its names are looked up where it is made.
--
-- Rights   anyone; rules call it
-- Remove   drop function bellwire.preview(text);  (rules that call it then fail, and say so in bellwire.rules)
create or replace function bellwire.preview(body text)
  returns text
  language sql
  stable
  parallel safe
  return case
           when length(body) <= 140 then body
           when getdatabaseencoding() <> 'UTF8' then rtrim(left(body, 137)) || '...'
           -- Not as a constant, which the planner would make of it in every database.
           else rtrim(left(body, 139)) || chr(case getdatabaseencoding() when 'UTF8' then 8230 end)
         end;

comment on function bellwire.preview(text) is
  'The first 140 characters of a text, with an ellipsis if it was cut.';
