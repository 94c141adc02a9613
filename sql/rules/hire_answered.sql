-- When a hire request is accepted or rejected, the customer is notified.
--
-- Remove   select bellwire.drop_rule('hire_answered');
grant select (id, name) on public.users to bellwire_rules;

select bellwire.define_rule('hire_answered', 'public.hire_requests', 'update', $$
  select new.customer_id as recipient_id,
         'hire.' || new.status as type,
         new.executor_id as actor_id,
         executor.name || ' ' || new.status || ' your hire request' as title,
         '/hire/' || new.id as link,
         jsonb_build_object('hireRequestId', new.id, 'taskId', new.task_id, 'actorName', executor.name) as data
    from new_rows new
    join old_rows old on old.id = new.id
    join public.users executor on executor.id = new.executor_id
   where new.status in ('accepted', 'rejected')
     and new.status <> old.status
$$);
