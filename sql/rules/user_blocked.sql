-- A user is blocked: their open streams end, and tokens issued until now are refused.
--
-- Remove   select bellwire.drop_rule('user_blocked');

-- Until 2026-11 it was a trigger written by hand; that goes with its function.
do $$
begin
  if to_regprocedure('bellwire.users_revoke()') is not null then
    drop function bellwire.users_revoke() cascade;
  end if;
end
$$;

select bellwire.define_rule('user_blocked', 'public.users', 'update', $$
  select new.id as recipient_id
    from new_rows new
    join old_rows old on old.id = new.id
   where new.blocked
     and not old.blocked
$$, action => 'revoke');
