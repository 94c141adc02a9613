-- A hire request notifies the executor.
--
-- Remove   select bellwire.drop_rule('hire_requested');
select bellwire.define_rule('hire_requested', 'public.hire_requests', 'insert', $$
  select h.executor_id as recipient_id,
         'hire.requested' as type,
         h.customer_id as actor_id,
         'Somebody wants to hire you' as title,
         bellwire.preview(h.message) as body,
         '/hire/' || h.id as link,
         jsonb_build_object('hireRequestId', h.id, 'taskId', h.task_id) as data
    from new_rows h
$$);
