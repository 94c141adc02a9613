-- A review notifies the user who was reviewed.
--
-- Remove   select bellwire.drop_rule('review_received');
grant select (id, name) on public.users to bellwire_rules;

select bellwire.define_rule('review_received', 'public.reviews', 'insert', $$
  select r.recipient_id,
         'review.received' as type,
         r.author_id as actor_id,
         author.name || ' reviewed you: ' || r.rating || ' of 5' as title,
         bellwire.preview(r.comment) as body,
         '/tasks/' || r.task_id as link,
         jsonb_build_object('taskId', r.task_id, 'reviewId', r.id, 'rating', r.rating, 'actorName', author.name) as data
    from new_rows r
    join public.users author on author.id = r.author_id
$$);
