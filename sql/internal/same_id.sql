-- An id as it is stored: a UUID (8-4-4-4-12 hexadecimal digits) in lower case, everything else unchanged. A uuid column prints
-- lower case; a text column of the application, or a token, may have upper case, and means the same recipient.
--
-- Cost     0.1 to 0.2 us, and 7 us if 36 bytes contain a capital letter; PostgreSQL makes it part of the expression that calls it
-- Rights   called by rules, as bellwire_rules, and by bellwire.notify(), revoke() and mute_types()
-- Remove   with the schema
create or replace function bellwire.same_id(id text)
  returns text
  language sql
  immutable
  parallel safe
  return case
           -- The pattern comes last, because it costs most.
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
