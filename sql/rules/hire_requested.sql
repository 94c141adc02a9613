-- A hire request notifies the executor.
--
-- Remove   select bellwire.drop_rule('hire_requested');
grant select (id, name) on public.users to bellwire_rules;

select bellwire.define_rule('hire_requested', 'public.hire_requests', 'insert', $$
  select h.executor_id as recipient_id,
         'hire.requested' as type,
         h.customer_id as actor_id,
         customer.name || ' wants to hire you' as title,
         bellwire.preview(h.message) as body,
         '/hire/' || h.id as link,
         jsonb_build_object('hireRequestId', h.id, 'taskId', h.task_id, 'actorName', customer.name) as data
    from new_rows h
    join public.users customer on customer.id = h.customer_id
$$);
