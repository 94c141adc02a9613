-- A user is blocked: their open streams end, and tokens issued until now are refused.
--
-- Not a rule, for it tells nobody anything: a trigger of its own, written by hand in the same manner. Like
-- a rule it never breaks the write it hangs on, and its failures are in bellwire.rule_errors.
--
-- Fires    once per UPDATE statement on public.users
-- Remove   drop trigger users_revoke on public.users; drop function bellwire.users_revoke();
create or replace function bellwire.users_revoke()
  returns trigger
  language plpgsql
  security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  many boolean;
begin
  -- As in bellwire.rule_body().
  many := exists (select from new_rows offset 100);
  if many then
    discard plans;
  end if;
  perform bellwire.revoke(new.id::text)
     from new_rows new
     join old_rows old on old.id = new.id
    where new.blocked
      and not old.blocked;
  if many then
    discard plans;
  end if;
  return null;
exception
  when serialization_failure or deadlock_detected then
    raise;
  when others then
    perform bellwire.record_rule_error('user_blocked', sqlstate, sqlerrm);
    if many then
      discard plans;
    end if;
    return null;
end;
$$;

comment on function bellwire.users_revoke() is
  'Ends the streams of users who become blocked.';

revoke all on function bellwire.users_revoke() from public;

create or replace trigger users_revoke
  after update on public.users
  referencing old table as old_rows new table as new_rows
  for each statement
  execute function bellwire.users_revoke();
