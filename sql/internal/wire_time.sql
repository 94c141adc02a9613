-- A time as clients get it: RFC 3339 in UTC with milliseconds. `infinity` and `-infinity` are these words. Years beyond 9999 and
-- before 0 have ISO 8601's expanded form (`+010000-...`, `-000043-...`), in which the year before 1 is 0.
--
-- No setting changes it, unlike a cast to text.
--
-- Rights   bellwire_service; inlined where it is called
-- Remove   drop function bellwire.wire_time(timestamptz);
create or replace function bellwire.wire_time(moment timestamptz)
  returns text
  language sql
  stable
  parallel safe
return case
         when moment >= timestamptz '0001-01-01 00:00:00+00' and moment < timestamptz '10000-01-01 00:00:00+00'
           then to_char(timezone('UTC', moment), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
         when moment = timestamptz 'infinity' then 'infinity'
         when moment = timestamptz '-infinity' then '-infinity'
         when moment >= timestamptz '10000-01-01 00:00:00+00'
           then '+' || lpad(extract(year from timezone('UTC', moment))::text, 6, '0')
                    || to_char(timezone('UTC', moment), '-MM-DD"T"HH24:MI:SS.MS"Z"')
         -- The year 1 BC is 0, which JavaScript writes without a sign; extract() returns -1 for it.
         when moment >= timestamptz '0001-01-01 00:00:00+00 BC'
           then to_char(timezone('UTC', moment), '"0000"-MM-DD"T"HH24:MI:SS.MS"Z"')
         else '-' || lpad((-1 - extract(year from timezone('UTC', moment)))::text, 6, '0')
                  || to_char(timezone('UTC', moment), '-MM-DD"T"HH24:MI:SS.MS"Z"')
       end;

comment on function bellwire.wire_time(timestamptz) is
  'Internal. A time as clients get it, whatever the session''s settings.';

revoke all on function bellwire.wire_time(timestamptz) from public;
grant execute on function bellwire.wire_time(timestamptz) to bellwire_service;
