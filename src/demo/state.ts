import type pg from "pg";

export type DemoUser = { id: string; name: string };

type Named = { id: string; title: string };

/** What one user of the marketplace can do now; `perform` allows exactly this. */
export type DemoState = {
  people: DemoUser[];
  conversations: { taskId: string; title: string; personId: string }[];
  openTasks: (Named & { price: number; customerName: string })[];
  ownTasks: (Named & { price: number; status: string; executorName: string | null })[];
  responses: (Named & { taskId: string; userId: string; userName: string; price: number })[];
  hireRequests: (Named & { taskId: string; customerName: string; message: string | null })[];
  reviews: { taskId: string; title: string; personId: string; personName: string }[];
};

export async function listUsers(pool: pg.Pool): Promise<DemoUser[]> {
  return (await pool.query<DemoUser>("select id::text, name from users order by users.id")).rows;
}

/** `undefined` for an unknown user. */
export async function readState(pool: pg.Pool, userId: string): Promise<DemoState | undefined> {
  if (!(await listUsers(pool)).some(({ id }) => id === userId)) return undefined;
  const read = async <Row extends pg.QueryResultRow>(text: string) =>
    (await pool.query<Row>(text, [userId])).rows;
  return {
    people: await read(PEOPLE),
    conversations: await read(CONVERSATIONS),
    openTasks: await read(OPEN_TASKS),
    ownTasks: await read(OWN_TASKS),
    responses: await read(RESPONSES),
    hireRequests: await read(HIRE_REQUESTS),
    reviews: await read(REVIEWS),
  };
}

const PEOPLE = `
  select id::text, name
  from users
  where users.id <> $1 and blocked is not true
  order by users.id`;

const CONVERSATIONS = `
  select t.id::text as "taskId", t.title, u.id::text as "personId"
  from tasks t
  join users u on u.id = case when t.customer_id = $1 then t.executor_id else t.customer_id end
  where $1 in (t.customer_id, t.executor_id)
  order by t.id desc
  limit 50`;

const OPEN_TASKS = `
  select t.id::text, t.title, t.price::float8 as price, c.name as "customerName"
  from tasks t
  join users c on c.id = t.customer_id
  where t.status = 'open'
    and t.customer_id <> $1
    and not exists (
      select from responses r
      where r.task_id = t.id and r.user_id = $1 and r.status = 'pending'
    )
  order by t.id desc
  limit 50`;

const OWN_TASKS = `
  select t.id::text, t.title, t.price::float8 as price, t.status, e.name as "executorName"
  from tasks t
  left join users e on e.id = t.executor_id
  where t.customer_id = $1 and t.status in ('open', 'in_progress')
  order by t.id desc
  limit 50`;

const RESPONSES = `
  select r.id::text, t.id::text as "taskId", t.title, u.id::text as "userId",
    u.name as "userName", r.price::float8 as price
  from responses r
  join tasks t on t.id = r.task_id
  join users u on u.id = r.user_id
  where t.customer_id = $1 and t.status = 'open' and r.status = 'pending'
  order by r.id desc
  limit 50`;

const HIRE_REQUESTS = `
  select h.id::text, t.id::text as "taskId", t.title, c.name as "customerName", h.message
  from hire_requests h
  join tasks t on t.id = h.task_id
  join users c on c.id = h.customer_id
  where h.executor_id = $1 and t.status = 'open' and h.status = 'pending'
  order by h.id desc
  limit 50`;

const REVIEWS = `
  select t.id::text as "taskId", t.title, u.id::text as "personId", u.name as "personName"
  from tasks t
  join users u on u.id = case when t.customer_id = $1 then t.executor_id else t.customer_id end
  where $1 in (t.customer_id, t.executor_id)
    and t.status = 'completed'
    and not exists (select from reviews r where r.task_id = t.id and r.author_id = $1)
  order by t.id desc
  limit 50`;
