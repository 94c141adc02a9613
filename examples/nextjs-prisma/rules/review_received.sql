-- A review notifies the user who was reviewed.
--
-- Remove   select bellwire.drop_rule('review_received');
grant usage on schema public to bellwire_rules;
grant select on public."User" to bellwire_rules;

select bellwire.define_rule('review_received', 'public."Review"', 'insert', $$
  select r."recipientId" as recipient_id,
         'review.received' as type,
         r."authorId" as actor_id,
         u."name" || ' gave you ' || r."rating" || ' of 5' as title,
         bellwire.preview(r."comment") as body,
         '/tasks/' || r."taskId" as link,
         jsonb_build_object('taskId', r."taskId", 'reviewId', r."id", 'rating', r."rating") as data
    from new_rows r
    join public."User" u on u."id" = r."authorId"
$$);
