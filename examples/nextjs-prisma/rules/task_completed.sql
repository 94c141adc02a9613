-- A completed task notifies its executor.
--
-- Remove   select bellwire.drop_rule('task_completed');
select bellwire.define_rule('task_completed', 'public."Task"', 'update', $$
  select new."executorId" as recipient_id,
         'task.completed' as type,
         new."customerId" as actor_id,
         'Task "' || new."title" || '" was completed' as title,
         '/tasks/' || new."id" as link,
         jsonb_build_object('taskId', new."id") as data
    from new_rows new
    join old_rows old on old."id" = new."id"
   where new."status" = 'COMPLETED'
     and old."status" <> 'COMPLETED'
$$);
