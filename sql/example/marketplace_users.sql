-- requires: marketplace_tables.sql
-- A few users and tasks for the demo. They are inserted only if the tables are empty.
--
-- Remove   delete from public.tasks; delete from public.users;
insert into public.users (name)
select name
  from (values (1, 'Anna'), (2, 'Boris'), (3, 'Clara'), (4, 'David')) as people (place, name)
 where not exists (select from public.users)
 order by place;

insert into public.tasks (customer_id, title, price)
select customer.id, task.title, task.price
  from (
         values (1, 'Anna', 'A logo for a bakery', 120),
                (2, 'Anna', 'Translate a contract into English', 80),
                (3, 'Clara', 'Move a shop to a new server', 300)
       ) as task (place, customer, title, price)
  join public.users customer on customer.name = task.customer
 where not exists (select from public.tasks)
 order by task.place;
