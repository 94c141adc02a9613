-- Writes those rows of a rule's result that can be written, when writing all of them at once has failed. It drops and records the
-- others: a row without a type, with data that is not JSON, or with an id too long for an index.
--
-- A part that fails is halved until one row is left, so one bad row of 1,000 costs about twenty subtransactions. After 1,000 failures
-- a part that fails is dropped as a whole, so that a rule whose rows are all wrong does not delay a bulk write for long.
--
-- Under repeatable read and serializable, PostgreSQL raises an error if another transaction has committed the same key since.
-- Such a row is a duplicate all the same, and is dropped as one. (Any other serialization failure has a reason in its detail.)
--
-- `keys` are those of the statement's rows. A row of the result does not say from which of them it came, so only the key of a lone row
-- is recorded.
--
-- Returns whether it wrote a row.
--
-- Rights   called by rules, as bellwire_rules
-- Remove   with the schema
create or replace function bellwire.insert_valid_rows(rule text, told bellwire.told[], keys text[])
  returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  parts    int4range[] := array[int4range(1, cardinality(told) + 1)];
  part     int4range;
  rows     bigint;
  detail   text;
  tries    integer := 1000;
  failures jsonb := '{}';  -- how many, by SQLSTATE and message
  wrote    boolean := false;
begin
  if cardinality(told) = 0 then
    return false;
  end if;
  while cardinality(parts) > 0 loop
    part := parts[1];
    parts := parts[2:];
    begin
      insert into bellwire.notifications (recipient_id, type, actor_id, title, body, link, data, dedupe_key)
      select t.recipient_id, t.type, t.actor_id, t.title, t.body, t.link, coalesce(t.data::jsonb, '{}'), t.dedupe_key
        from unnest(told[lower(part):upper(part) - 1]) as t
       where bellwire.is_wanted(t.recipient_id, t.type, t.actor_id)
          on conflict (recipient_id, dedupe_key, type) where dedupe_key is not null
             do nothing;
      wrote := wrote or found;
    exception
      when others or assert_failure then
        get stacked diagnostics detail = pg_exception_detail;
        rows := upper(part) - lower(part);
        tries := tries - 1;
        -- After a deadlock or a lock time-out the halves would wait as long again.
        if rows = 1 or tries < 0 or sqlstate in ('40P01', '55P03') then
          if sqlstate <> '40001' or detail <> '' then
            failures := failures || jsonb_build_object(
              sqlstate || sqlerrm,
              coalesce((failures -> (sqlstate || sqlerrm))::bigint, 0) + rows
            );
          end if;
        else
          parts := array[
            int4range(lower(part), lower(part) + (rows / 2)::int),
            int4range(lower(part) + (rows / 2)::int, upper(part))
          ] || parts;
        end if;
    end;
  end loop;
  perform bellwire.record_rule_error(rule, left(f.key, 5), substr(f.key, 6), f.value::bigint, case cardinality(keys) when 1 then keys end)
     from jsonb_each_text(failures) as f;
  return wrote;
end;
$$;

comment on function bellwire.insert_valid_rows(text, bellwire.told[], text[]) is
  'Internal. Writes those rows of a rule''s result that can be written, and records the others.';

revoke all on function bellwire.insert_valid_rows(text, bellwire.told[], text[]) from public;
grant execute on function bellwire.insert_valid_rows(text, bellwire.told[], text[]) to bellwire_rules;
