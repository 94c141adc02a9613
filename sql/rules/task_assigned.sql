-- When a task gets an executor, the executor is notified.
--
-- Remove   select bellwire.drop_rule('task_assigned');
select bellwire.define_rule('task_assigned', 'public.tasks', 'update', $$
  select new.executor_id as recipient_id,
         'task.assigned' as type,
         new.customer_id as actor_id,
         'You were chosen for "' || new.title || '"' as title,
         '/tasks/' || new.id as link,
         jsonb_build_object('taskId', new.id) as data
    from new_rows new
    join old_rows old on old.id = new.id
   where new.executor_id is distinct from old.executor_id
$$);
