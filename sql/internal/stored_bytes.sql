-- How many bytes the texts and the data of a change will take, estimated without fetching any of them.
--
-- PostgreSQL knows the length of a text without fetching it, even if it is compressed. Compressed data counts as eight times its
-- stored size. It can be up to ninety times as large, and a read decompresses all rows that fit a page by this estimate.
--
-- Cost     none: PostgreSQL inlines it into the expression that calls it
-- Rights   bellwire_service
-- Remove   drop function bellwire.stored_bytes;
create or replace function bellwire.stored_bytes(stage integer, type text, actor_id text, title text, body text, link text, data jsonb, cut_at integer)
  returns integer
  language sql
  stable
  parallel safe
  return least(coalesce(octet_length(type), 0), cut_at)
         + case
             when stage = 1
               then least(coalesce(octet_length(actor_id), 0), cut_at)
                      + least(coalesce(octet_length(title), 0), cut_at)
                      + least(coalesce(octet_length(body), 0), cut_at)
                      + least(coalesce(octet_length(link), 0), cut_at)
                      + least(pg_column_size(data) * case when pg_column_compression(data) is null then 1 else 8 end, cut_at)
             else 0
           end;

comment on function bellwire.stored_bytes is
  'Internal. How many bytes a change will take, estimated without fetching its texts.';

revoke all on function bellwire.stored_bytes from public;
grant execute on function bellwire.stored_bytes to bellwire_service;
