-- Writes down that a rule failed, without ever failing or waiting itself: it runs inside the write of an
-- application that must not notice.
--
-- It adds to a row nobody else is adding to, or makes one; so the log holds at most as many rows of a
-- failure as there were writers at once, and no writer waits for another's commit. Read it as bellwire.rule_errors.
-- Under repeatable read and serializable each failure is a row of its own: to read a row that others count
-- up would be a serialization failure, there or in the application's commit.
--
-- `silenced` is of how many rows nobody was told.
--
-- Rights   bellwire_rules, whose rules call it; what it writes only its owner may
-- Remove   with the schema
create or replace function bellwire.record_rule_error(
  failed_rule     text,
  failed_sqlstate text,
  failed_message  text,
  silenced        bigint default 0
)
  returns void
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  brief text := left(failed_message, 500);
begin
  if current_setting('transaction_isolation') not in ('repeatable read', 'serializable') then
    update bellwire.rule_error_log
       set errors = errors + 1,
           silenced = silenced + record_rule_error.silenced,
           last_at = clock_timestamp()
     where id = (
             select id
               from bellwire.rule_error_log
              where rule = failed_rule
                and sqlstate = failed_sqlstate
                and message = brief
              limit 1
                for update skip locked
           );
    if found then
      return;
    end if;
  end if;
  insert into bellwire.rule_error_log (rule, sqlstate, message, silenced)
  values (failed_rule, failed_sqlstate, brief, record_rule_error.silenced);
exception
  when others then
    raise warning 'bellwire: rule "%" failed (% %), and so did writing it down: %',
      failed_rule, failed_sqlstate, failed_message, sqlerrm;
end;
$$;

comment on function bellwire.record_rule_error(text, text, text, bigint) is
  'Internal. Records that a rule failed. Never fails or waits itself.';

revoke all on function bellwire.record_rule_error(text, text, text, bigint) from public;
grant execute on function bellwire.record_rule_error(text, text, text, bigint) to bellwire_rules;
