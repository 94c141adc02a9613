-- Records that a rule failed. It runs inside a write of the application, which it must not disturb. So it never fails and never waits.
--
-- It increments a row that no other session is incrementing, or inserts a new one. So the log has at most as many rows for a
-- failure as there were concurrent writers, and no writer waits for another one's commit. Read the log as bellwire.rule_errors.
-- Under repeatable read and serializable it inserts a row for each failure, because to read a row that another session increments
-- would be a serialization failure, here or at the application's commit.
--
-- `silenced` is the number of rows for which no notification was made, and `failed_keys` are the keys of some of them. The log keeps the
-- last 20 of a failure, cut to 100 characters each by the rule.
--
-- Rights   bellwire_rules, whose rules call it; only its owner may change what it writes
-- Remove   with the schema
create or replace function bellwire.record_rule_error(
  failed_rule     text,
  failed_sqlstate text,
  failed_message  text,
  silenced        bigint default 0,
  failed_keys     text[] default null
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
           keys = (keys || failed_keys)[cardinality(keys || failed_keys) - 19:],
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
  insert into bellwire.rule_error_log (rule, sqlstate, message, silenced, keys)
  values (failed_rule, failed_sqlstate, brief, record_rule_error.silenced, coalesce(failed_keys, '{}'));
exception
  when others then
    raise warning 'bellwire: rule "%" failed (% %), and recording that failed too: %',
      failed_rule, failed_sqlstate, failed_message, sqlerrm;
end;
$$;

comment on function bellwire.record_rule_error(text, text, text, bigint, text[]) is
  'Internal. Records that a rule failed. Never fails or waits itself.';

revoke all on function bellwire.record_rule_error(text, text, text, bigint, text[]) from public;
grant execute on function bellwire.record_rule_error(text, text, text, bigint, text[]) to bellwire_rules;
