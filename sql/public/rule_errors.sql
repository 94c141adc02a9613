-- Failures of rules: which rule, the error, how often, since when, for how many rows no notification was made (silenced), and the key
-- of the last of these rows, if it is known: its primary key, cut to 100 characters.
--
-- Rights   bellwire_service (the metrics count them)
-- Remove   with the schema; to forget the errors of one rule:
--          delete from bellwire.rule_error_log where rule = 'its name';
create or replace view bellwire.rule_errors as
select rule,
       sqlstate,
       message,
       sum(errors)::bigint as errors,
       min(first_at)       as first_at,
       max(last_at)        as last_at,
       sum(silenced)::bigint as silenced,
       (array_agg(keys[cardinality(keys)] order by last_at desc) filter (where keys <> '{}'))[1] as last_key
  from bellwire.rule_error_log
 group by rule, sqlstate, message;

comment on view bellwire.rule_errors is
  'What went wrong in rules: which, how, how often, since when, and for which row.';

grant select on bellwire.rule_errors to bellwire_service;
