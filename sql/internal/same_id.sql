-- An id as it is stored: a UUID (8-4-4-4-12 hexadecimal digits) in lower case, everything else unchanged. PostgreSQL prints a uuid
-- in lower case. A text column of the application or a token may have it in upper case, and means the same recipient.
--
-- It has forms for the types that need no look at their text. A rule names the form by its column's type when the rule is defined, and
-- PostgreSQL chooses again when the column gets another of these types.
--
-- Cost     0.1 to 0.2 us; 7 us for an id of 36 bytes with a capital letter. PostgreSQL inlines it into the expression that calls it
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

create or replace function bellwire.same_id(id integer)
  returns text
  language sql
  immutable
  parallel safe
  return id::text;

create or replace function bellwire.same_id(id bigint)
  returns text
  language sql
  immutable
  parallel safe
  return id::text;

create or replace function bellwire.same_id(id uuid)
  returns text
  language sql
  immutable
  parallel safe
  return id::text;

comment on function bellwire.same_id(text) is
  'Internal. An id as it is stored: a UUID in lower case, everything else unchanged.';
comment on function bellwire.same_id(integer) is 'Internal. An id as it is stored.';
comment on function bellwire.same_id(bigint) is 'Internal. An id as it is stored.';
comment on function bellwire.same_id(uuid) is 'Internal. An id as it is stored.';

revoke all on function bellwire.same_id(text), bellwire.same_id(integer), bellwire.same_id(bigint), bellwire.same_id(uuid) from public;
grant execute on function bellwire.same_id(text), bellwire.same_id(integer), bellwire.same_id(bigint), bellwire.same_id(uuid) to bellwire_rules;
