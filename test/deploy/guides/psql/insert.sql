insert into tasks (title, customer_id) values ('A logo', 1);
insert into responses (task_id, user_id, message) select max(id), 2, 'I can do it' from tasks;
