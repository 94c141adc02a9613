-- A text's first 140 characters, with an ellipsis where it was cut: for a notification's body.
--
-- Neither strict nor with a search_path of its own, so that a rule's plan takes it in. Its names are looked up where it is made.
--
-- Rights   anyone; rules call it
-- Remove   drop function bellwire.preview(text);  (rules that call it then fail, and say so in bellwire.rules)
create or replace function bellwire.preview(body text)
  returns text
  language sql
  immutable
  parallel safe
  return case
           when length(body) <= 140 then body
           else rtrim(left(body, 139)) || '…'
         end;

comment on function bellwire.preview(text) is
  'A text''s first 140 characters, with an ellipsis where it was cut.';
