-- Cuts a text of more than `at` bytes to `at` characters; null for `at` cuts nothing.
--
-- This limits how much of a huge text leaves the database. The service then makes it fit an event to the byte.
--
-- Rights   bellwire_service; inlined where it is called
-- Remove   drop function bellwire.cut_text(text, integer);
create or replace function bellwire.cut_text(whole text, at integer)
  returns text
  language sql
  immutable
  parallel safe
return case when octet_length(whole) > at then left(whole, at) else whole end;

comment on function bellwire.cut_text(text, integer) is
  'Internal. Cuts a text of more bytes than the limit to as many characters.';

revoke all on function bellwire.cut_text(text, integer) from public;
grant execute on function bellwire.cut_text(text, integer) to bellwire_service;
