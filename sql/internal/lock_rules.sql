-- Lets one session at a time change rules, until its transaction ends. Another session waits for three seconds; then it gets an
-- error that names the session which holds the lock.
--
-- It locks a table, which needs the right to write to it. Any role that may connect could hold an advisory lock.
--
-- Locks    share row exclusive on bellwire.rule_definitions; readers of bellwire.rules do not wait
-- Rights   called by bellwire.define_rule(), bellwire.drop_rule() and renew_rules.sql
-- Remove   with the schema
create or replace function bellwire.lock_rules(rule text)
  returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '3s'
as $$
declare
  holders text;
begin
  lock table bellwire.rule_definitions in share row exclusive mode;
exception
  when lock_not_available then
    -- A session may hold several modes.
    select string_agg(distinct case when l.pid is null then 'a prepared transaction' else format('pid %s (%s)', l.pid, a.usename) end, ', ')
      into holders
      from pg_locks l
      left join pg_stat_activity a on a.pid = l.pid
     where l.relation = 'bellwire.rule_definitions'::regclass
       and l.database = (select d.oid from pg_database d where d.datname = current_database())
       and l.granted
       and l.pid is distinct from pg_backend_pid()
       and l.mode not in ('AccessShareLock', 'RowShareLock');
    raise exception 'rule "%": another transaction is changing rules: %', rule, coalesce(holders, 'it has just ended')
      using errcode = 'lock_not_available',
            hint = 'Try again when it has ended. To end it: select pg_terminate_backend(pid);';
end;
$$;

comment on function bellwire.lock_rules(text) is
  'Internal. Lets one session at a time change rules; its error names the session that holds the lock.';

revoke all on function bellwire.lock_rules(text) from public;
