-- A blocked user loses access: open streams end, and tokens issued until now are refused.
--
-- Remove   select bellwire.drop_rule('user_blocked');
select bellwire.define_rule('user_blocked', 'public."User"', 'update', $$
  select new."id" as recipient_id
    from new_rows new
    join old_rows old on old."id" = new."id"
   where new."blocked"
     and not old."blocked"
$$, action => 'revoke');
