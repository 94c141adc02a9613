-- The first 140 characters of a text, with an ellipsis if it was cut: for the body of a notification. In a database that is not
-- UTF8 it ends in three dots, because few other encodings have the character.
--
-- It is not strict and sets no search_path, so that PostgreSQL can inline it into a rule's query. Its names are resolved when it is
-- created. What only a long text needs is a function of its own, because starting a statement costs time for each function in it.
--
-- Cost     a rule's statement spends 1 us on it, and 1 us more on each text that is cut
-- Rights   anyone; rules call it
-- Remove   drop function bellwire.preview(text);  (rules that call it then fail, and bellwire.rules shows that)
create or replace function bellwire.preview(body text)
  returns text
  language sql
  stable
  parallel safe
  return case
           when length(body) <= 140 then body
           else bellwire.shorten(body)
         end;

comment on function bellwire.preview(text) is
  'The first 140 characters of a text, with an ellipsis if it was cut.';
