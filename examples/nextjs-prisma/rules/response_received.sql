-- A response notifies the task's customer.
--
-- Remove   select bellwire.drop_rule('response_received');
grant usage on schema public to bellwire_rules;
grant select on public."Task", public."User" to bellwire_rules;

select bellwire.define_rule('response_received', 'public."Response"', 'insert', $$
  select t."customerId" as recipient_id,
         'response.received' as type,
         r."authorId" as actor_id,
         u."name" || ' responded to "' || t."title" || '"' as title,
         bellwire.preview(r."text") as body,
         '/tasks/' || t."id" as link,
         jsonb_build_object('taskId', t."id", 'responseId', r."id") as data
    from new_rows r
    join public."Task" t on t."id" = r."taskId"
    join public."User" u on u."id" = r."authorId"
$$);
