-- A message in a task: the task's other party is told. While the task has no executor, a message of its
-- customer goes to the recipient the message names.
--
-- Remove   select bellwire.drop_rule('task_message');
grant select on public.tasks to bellwire_owner;

select bellwire.define_rule('task_message', 'public.messages', 'insert', $$
  select case
           when m.sender_id = t.customer_id then coalesce(t.executor_id, m.recipient_id)
           else t.customer_id
         end as recipient_id,
         'task.message' as type,
         m.sender_id as actor_id,
         'New message in "' || t.title || '"' as title,
         coalesce(bellwire.preview(nullif(m.body, '')), m.file_name) as body,
         '/tasks/' || t.id as link,
         jsonb_build_object('taskId', t.id, 'messageId', m.id) as data
    from new_rows m
    join public.tasks t on t.id = m.task_id
$$);
