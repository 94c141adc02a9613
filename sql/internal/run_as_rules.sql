-- Runs a statement with the rights of bellwire_rules and returns its rows. Its $1 are rows of a table of the application. So
-- bellwire.explain() and try_rule() run a rule's query without the rule's trigger.
--
-- Code that the statement calls must neither write nor run with the caller's rights. So it refuses to run outside a read-only
-- transaction. And it runs only if bellwire_rules is the current user because it is SECURITY DEFINER: a role that was set, also by a setting
-- of this function, could be reset. It belongs to bellwire_rules, so code of a rule can alter its settings, but not its body. Operators
-- and functions are qualified, because that includes search_path.
--
-- Sequential scans are off, so that a condition on a small table is tested where it is tested on a large one, in its index.
--
-- Rights   called by bellwire.ask_rule()
-- Remove   with the schema
-- requires: give_to_rules.sql
create or replace function bellwire.run_as_rules(statement text, written anyarray)
  returns setof json
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
  set row_security = off
  set enable_seqscan = off
  set jit = off
  set max_parallel_workers_per_gather = 0
as $$
begin
  if current_user operator(pg_catalog.<>) 'bellwire_rules'::pg_catalog.name
     or session_user operator(pg_catalog.=) 'bellwire_rules'::pg_catalog.name
     or pg_catalog.current_setting('role') operator(pg_catalog.=) 'bellwire_rules'::pg_catalog.text
     or pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.<>) 'on'::pg_catalog.text
  then
    raise exception 'bellwire.run_as_rules() runs only as bellwire_rules, and only in a read-only transaction'
      using errcode = 'insufficient_privilege',
            hint = 'Run migrate, if the function was altered.';
  end if;
  return query execute statement using written;
end;
$$;

comment on function bellwire.run_as_rules(text, anyarray) is
  'Internal. Runs a statement with the rights of bellwire_rules, without writing.';

select bellwire.give_to_rules('bellwire.run_as_rules(text, anyarray)');
