-- An id as it is kept: a UUID (8-4-4-4-12 hexadecimal digits) in lower case, everything else as it is. A uuid column prints lower
-- case, an application's text column or token may not, and both mean the same recipient.
--
-- Cost     0.1 to 0.2 microseconds, and 7 where there is a capital in 36 bytes: it becomes part of the expression that calls it
-- Rights   called by rules, as bellwire_rules, and by bellwire.notify(), revoke() and mute_types()
-- Remove   with the schema
create or replace function bellwire.same_id(id text)
  returns text
  language sql
  immutable
  parallel safe
  return case
           -- The pattern is what costs, so that it is asked last.
           when octet_length(id) = 36
                and lower(id collate "C") <> id
                and id collate "C" ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'
             then lower(id collate "C")
           else id
         end;

comment on function bellwire.same_id(text) is
  'Internal. An id as it is stored: a UUID in lower case, everything else unchanged.';

revoke all on function bellwire.same_id(text) from public;
grant execute on function bellwire.same_id(text) to bellwire_rules;
