-- When a task is completed or cancelled, its customer and its executor are notified. The row does not say who did it, so there
-- is no actor.
--
-- Remove   select bellwire.drop_rule('task_closed');
select bellwire.define_rule('task_closed', 'public.tasks', 'update', $$
  select party.id as recipient_id,
         'task.' || new.status as type,
         'Task "' || new.title || '" was ' || new.status as title,
         '/tasks/' || new.id as link,
         jsonb_build_object('taskId', new.id, 'taskTitle', new.title) as data
    from new_rows new
    join old_rows old on old.id = new.id
   cross join lateral (values (new.customer_id), (new.executor_id)) as party (id)
   where new.status in ('completed', 'cancelled')
     and new.status <> old.status
$$);
