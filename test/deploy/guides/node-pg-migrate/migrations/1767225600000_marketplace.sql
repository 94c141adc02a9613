-- Up Migration
create table tasks (
  id          serial primary key,
  title       text not null,
  customer_id integer not null
);

create table responses (
  id      serial primary key,
  task_id integer not null references tasks,
  user_id integer not null,
  message text not null
);

-- Down Migration
drop table responses;
drop table tasks;
