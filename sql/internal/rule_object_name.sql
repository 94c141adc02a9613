-- The name of a rule's trigger and trigger function: rule_<name>, or a digest if that is too long for an identifier.
--
-- Rights   called by bellwire.define_rule() and bellwire.drop_rule()
-- Remove   with the schema
create or replace function bellwire.rule_object_name(rule text)
  returns text
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if rule is null or rule !~ '^[^[:cntrl:]]+$' or octet_length(rule) > 63 then
    raise exception 'a rule''s name is 1 to 63 bytes without control characters, not %', coalesce(quote_literal(rule), 'null')
      using errcode = 'invalid_name';
  end if;
  if octet_length('rule_' || rule) <= 63 then
    return 'rule_' || rule;
  end if;
  return 'rule_' || md5(rule);
end;
$$;

comment on function bellwire.rule_object_name(text) is
  'Internal. The name of a rule''s trigger and trigger function.';

revoke all on function bellwire.rule_object_name(text) from public;
