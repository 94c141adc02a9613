-- A message notifies its recipient; a message in a task notifies the task's other party. While the task has no executor, a
-- message of its customer goes to the recipient that the message names.
--
-- One rule does both, because each rule is one more trigger on every message.
--
-- Remove   select bellwire.drop_rule('message_received');
grant select on public.tasks to bellwire_rules;
grant select (id, name) on public.users to bellwire_rules;

select bellwire.define_rule('message_received', 'public.messages', 'insert', $$
  select case
           when t.id is null then m.recipient_id
           when m.sender_id = t.customer_id then coalesce(t.executor_id, m.recipient_id)
           else t.customer_id
         end as recipient_id,
         case when t.id is null then 'message.received' else 'task.message' end as type,
         m.sender_id as actor_id,
         coalesce(sender.name || ' wrote in "' || t.title || '"', sender.name || ' sent you a message') as title,
         coalesce(nullif(bellwire.preview(m.body), ''), m.file_name) as body,
         case when t.id is null then '/messages/' else '/tasks/' end || coalesce(t.id, m.sender_id) as link,
         case
           when t.id is null then jsonb_build_object('messageId', m.id, 'actorName', sender.name)
           else jsonb_build_object('taskId', t.id, 'messageId', m.id, 'actorName', sender.name, 'taskTitle', t.title)
         end as data
    from new_rows m
    join public.users sender on sender.id = m.sender_id
    left join public.tasks t on t.id = m.task_id
$$);
