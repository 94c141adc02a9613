-- A text's beginning of 140 characters at most, with an ellipsis: the part of bellwire.preview() for a text that is longer.
--
-- Rights   anyone, like bellwire.preview(), which PostgreSQL replaces by its expression
-- Remove   with bellwire.preview()
create or replace function bellwire.shorten(body text)
  returns text
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  if getdatabaseencoding() <> 'UTF8' then
    return rtrim(left(body, 137)) || '...';
  end if;
  return rtrim(left(body, 139)) || chr(8230);
end;
$$;

comment on function bellwire.shorten(text) is
  'Internal. A text''s beginning, with an ellipsis.';
