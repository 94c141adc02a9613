-- A message without a task: its recipient is told.
--
-- Remove   select bellwire.drop_rule('message_received');
select bellwire.define_rule('message_received', 'public.messages', 'insert', $$
  select m.recipient_id,
         'message.received' as type,
         m.sender_id as actor_id,
         'New message' as title,
         coalesce(bellwire.preview(nullif(m.body, '')), m.file_name) as body,
         '/messages/' || m.sender_id as link,
         jsonb_build_object('messageId', m.id) as data
    from new_rows m
   where m.task_id is null
$$);
