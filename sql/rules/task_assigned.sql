-- When a task gets an executor, the executor is notified.
--
-- Remove   select bellwire.drop_rule('task_assigned');
grant select (id, name) on public.users to bellwire_rules;

select bellwire.define_rule('task_assigned', 'public.tasks', 'update', $$
  select new.executor_id as recipient_id,
         'task.assigned' as type,
         new.customer_id as actor_id,
         customer.name || ' chose you for "' || new.title || '"' as title,
         '/tasks/' || new.id as link,
         jsonb_build_object('taskId', new.id, 'actorName', customer.name, 'taskTitle', new.title) as data
    from new_rows new
    join old_rows old on old.id = new.id
    join public.users customer on customer.id = new.customer_id
   where new.executor_id is distinct from old.executor_id
$$);
