-- A message notifies the task's other party. While a task has no executor, only its customer is told.
--
-- Remove   select bellwire.drop_rule('message_received');
grant usage on schema public to bellwire_rules;
grant select on public."Task", public."User" to bellwire_rules;

select bellwire.define_rule('message_received', 'public."Message"', 'insert', $$
  select case when m."senderId" = t."customerId" then t."executorId" else t."customerId" end as recipient_id,
         'task.message' as type,
         m."senderId" as actor_id,
         u."name" || ' in "' || t."title" || '"' as title,
         bellwire.preview(m."text") as body,
         '/tasks/' || t."id" as link,
         jsonb_build_object('taskId', t."id", 'messageId', m."id") as data
    from new_rows m
    join public."Task" t on t."id" = m."taskId"
    join public."User" u on u."id" = m."senderId"
$$);
