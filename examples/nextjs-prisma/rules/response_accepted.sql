-- An accepted response notifies its author.
--
-- Remove   select bellwire.drop_rule('response_accepted');
grant usage on schema public to bellwire_rules;
grant select on public."Task" to bellwire_rules;

select bellwire.define_rule('response_accepted', 'public."Response"', 'update', $$
  select new."authorId" as recipient_id,
         'response.accepted' as type,
         t."customerId" as actor_id,
         'You got the task "' || t."title" || '"' as title,
         '/tasks/' || t."id" as link,
         jsonb_build_object('taskId', t."id", 'responseId', new."id") as data
    from new_rows new
    join old_rows old on old."id" = new."id"
    join public."Task" t on t."id" = new."taskId"
   where new."status" = 'ACCEPTED'
     and old."status" <> 'ACCEPTED'
$$);
