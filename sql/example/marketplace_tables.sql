-- The tables of a freelance marketplace, the kind of application that Bellwire was made for. They are for the demo and the
-- tests; a real application has its own.
--
-- Remove   drop table public.reviews, public.hire_requests, public.responses, public.messages, public.tasks, public.users;
create table if not exists public.users (
  id      bigint  generated always as identity primary key,
  name    text    not null,
  blocked boolean not null default false
);

create table if not exists public.tasks (
  id          bigint  generated always as identity primary key,
  customer_id bigint  not null references public.users,
  executor_id bigint  references public.users,
  title       text    not null,
  price       numeric not null default 0,
  status      text    not null default 'open',
  constraint tasks_status_check check (status in ('open', 'in_progress', 'completed', 'cancelled'))
);

create table if not exists public.messages (
  id           bigint generated always as identity primary key,
  sender_id    bigint not null references public.users,
  recipient_id bigint references public.users,
  task_id      bigint references public.tasks,
  body         text,
  file_name    text
);

create table if not exists public.responses (
  id      bigint  generated always as identity primary key,
  task_id bigint  not null references public.tasks,
  user_id bigint  not null references public.users,
  message text,
  price   numeric,
  status  text    not null default 'pending',
  constraint responses_status_check check (status in ('pending', 'accepted', 'rejected'))
);

create table if not exists public.hire_requests (
  id          bigint generated always as identity primary key,
  customer_id bigint not null references public.users,
  executor_id bigint not null references public.users,
  task_id     bigint references public.tasks,
  message     text,
  status      text   not null default 'pending',
  constraint hire_requests_status_check check (status in ('pending', 'accepted', 'rejected'))
);

create table if not exists public.reviews (
  id           bigint  generated always as identity primary key,
  task_id      bigint  not null references public.tasks,
  author_id    bigint  not null references public.users,
  recipient_id bigint  not null references public.users,
  rating       integer not null,
  comment      text,
  constraint reviews_rating_check check (rating between 1 and 5)
);
