-- When a response is accepted or rejected, its author is notified.
--
-- Remove   select bellwire.drop_rule('response_answered');
grant select on public.tasks to bellwire_rules;
grant select (id, name) on public.users to bellwire_rules;

select bellwire.define_rule('response_answered', 'public.responses', 'update', $$
  select new.user_id as recipient_id,
         'response.' || new.status as type,
         t.customer_id as actor_id,
         customer.name || ' ' || new.status || ' your response to "' || t.title || '"' as title,
         '/tasks/' || t.id as link,
         jsonb_build_object('taskId', t.id, 'responseId', new.id, 'actorName', customer.name, 'taskTitle', t.title) as data
    from new_rows new
    join old_rows old on old.id = new.id
    join public.tasks t on t.id = new.task_id
    join public.users customer on customer.id = t.customer_id
   where new.status in ('accepted', 'rejected')
     and new.status <> old.status
$$);
