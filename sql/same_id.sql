-- An id as it is kept: a UUID (8-4-4-4-12 hexadecimal digits) in lower case, everything else as it is. A uuid column prints lower
-- case, an application's text column or token may not, and both mean the same recipient.
--
-- Cost     a tenth of a microsecond: it becomes part of the expression that calls it, and looks at the length first
-- Rights   called by rules, as bellwire_rules, and by bellwire.notify(), revoke() and mute_types()
-- Remove   with the schema
create or replace function bellwire.same_id(id text)
  returns text
  language sql
  immutable
  parallel safe
  return case
           when octet_length(id) = 36 and id ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' then lower(id)
           else id
         end;

comment on function bellwire.same_id(text) is
  'An id as it is kept: a UUID in lower case, everything else as it is.';

revoke all on function bellwire.same_id(text) from public;
grant execute on function bellwire.same_id(text) to bellwire_rules;
