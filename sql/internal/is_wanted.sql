-- Whether a notification becomes a row: it has a recipient, the recipient is not the actor, and has not muted the type. The
-- functions of rules contain the same conditions, see bellwire.rule_body().
--
-- Rights   called by bellwire.notify(), as bellwire_owner, and by bellwire.insert_valid_rows(), as bellwire_rules
-- Remove   with the schema
create or replace function bellwire.is_wanted(recipient_id text, type text, actor_id text)
  returns boolean
  language sql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select is_wanted.recipient_id is not null
     and is_wanted.recipient_id is distinct from is_wanted.actor_id
     and not exists (
           select
             from bellwire.preferences p
            where p.recipient_id = is_wanted.recipient_id
              and is_wanted.type = any (p.muted_types)
         );
$$;

comment on function bellwire.is_wanted(text, text, text) is
  'Internal. Whether a notification becomes a row: it has a recipient, who is not the actor and has not muted the type.';

revoke all on function bellwire.is_wanted(text, text, text) from public;
grant execute on function bellwire.is_wanted(text, text, text) to bellwire_rules;
